/** Our crictl on `corten cri` beside Debian's containerd 1.6. */
import { criSuite } from "../helpers/cri-suite.ts";

criSuite("corten on debian");
