import { closeSync, constants, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { log } from "../../base/log.ts";
import { syscall } from "../../sys/libc.ts";
import { AT_FDCWD } from "../../sys/stat.ts";

/** S_IFIFO, for root alone. */
const fifoMode = 0o010600;
const longestLine = 16 << 10;

/**
 * Reads `<bundle>/log`, the FIFO that a shim writes its log to and waits for (containerd, runtime v2, "Logging"), into
 * ours until it is closed. It stays open for reading and writing, so that no shim ever fails for want of a reader.
 */
export function followLog(bundle: string, id: string): { close(): void } {
  const path = join(bundle, "log");
  if (!existsSync(path)) syscall("mknodat", [AT_FDCWD, path, fifoMode, 0], `FIFO ${path}`);
  const file = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const reader = Bun.file(file).stream().getReader();
  void (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = (lines.pop() ?? "").slice(-longestLine);
        for (const line of lines) if (line !== "") log.debug("shim", { task: id, line });
      }
    } catch {
      // Closed.
    }
    closeSync(file);
  })();
  return { close: () => void reader.cancel().catch(() => {}) };
}
