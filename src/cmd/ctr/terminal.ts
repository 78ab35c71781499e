import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";

/** Puts our terminal into raw mode and keeps the process's at our size. */
export function followTerminal(client: ContainerdClient, containerId: string, execId: string): Disposable {
  const { stdin, stdout } = process;
  const raw = stdin.isTTY === true;
  const resize = () => {
    if (!stdout.isTTY) return;
    const [width, height] = stdout.getWindowSize();
    client.tasks.resizePty({ containerId, execId, width, height }).catch((error) => {
      // It has ended meanwhile, or never had a terminal: nothing the user can do about it.
      log.debug("resize", { error: messageOf(error) });
    });
  };
  if (raw) stdin.setRawMode(true);
  resize();
  process.on("SIGWINCH", resize);
  return {
    [Symbol.dispose]() {
      process.off("SIGWINCH", resize);
      if (raw) stdin.setRawMode(false);
    },
  };
}
