/** Keeps a container's terminal as large as ours. */
import type { Cli } from "../cli.ts";

const attempts = 10;

/** Sends the size now and at each change; returns how to stop. `resize` may fail while the process is still starting. */
export function followSize(cli: Cli, resize: (rows: number, columns: number) => Promise<void>): () => void {
  const send = async () => {
    const { rows, columns } = cli.out.size();
    if (rows !== 0 || columns !== 0) await resize(rows, columns);
  };
  const first = async () => {
    for (let attempt = 0; attempt <= attempts; attempt++) {
      try {
        return await send();
      } catch {
        await Bun.sleep((attempt + 1) * 10);
      }
    }
    cli.err.line("failed to resize tty, using default size");
  };
  void first();
  const onChange = () => void send().catch(() => {});
  process.on("SIGWINCH", onChange);
  return () => void process.off("SIGWINCH", onChange);
}
