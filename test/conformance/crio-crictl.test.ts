/** Our crictl on `corten crio`. */
import { criSuite } from "../helpers/cri-suite.ts";

criSuite("crio", {}, { usual: 25 });
