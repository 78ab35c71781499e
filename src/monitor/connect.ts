import { unimplemented } from "../base/errors.ts";
import type { Monitor } from "./types.ts";

/** Connects to the monitor of a runtime directory; not_found when it is gone (then `readExit` has the end). */
export async function connectMonitor(dir: string): Promise<Monitor> {
  void dir;
  throw unimplemented("not landed yet");
}
