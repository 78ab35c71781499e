import { criSuite } from "../helpers/cri-suite.ts";

// What the pod answers after the client's half-close is lost at times: cri/sandbox/forward-port.ts ends both directions.
criSuite("corten", { halfClose: true });
