import { openNative, openOverlayfs } from "../../src/store/index.ts";
import { snapshotterContract } from "../helpers/snapshotter-contract.ts";

snapshotterContract("overlayfs", openOverlayfs);
snapshotterContract("native", openNative);
