import { criSuite } from "../helpers/cri-suite.ts";

criSuite("corten");
