/** Our crictl on the CRI of Debian's containerd 1.6: what the suite asks for is first proven there. */
import { criSuite } from "../helpers/cri-suite.ts";

// Events came with containerd 1.7.
criSuite("debian", { events: true });
