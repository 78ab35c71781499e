/** Our crictl on `corten dockershim`, with our dockerd below. */
import { criSuite } from "../helpers/cri-suite.ts";

criSuite("dockershim");
