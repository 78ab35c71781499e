import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { join } from "node:path";

/**
 * A socket of ours whose connections end at `target`: a build step may be given its owner and mode, which the client's
 * own must keep. `directory` is short: a socket's path has 107 bytes.
 */
export async function forwardSocket(
  target: string,
  directory: string,
): Promise<{ path: string; close(): Promise<void> }> {
  // Whatever mode the step asks for, nobody else on this host gets at it.
  const parent = join(directory, "agents");
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const path = join(parent, `${randomBytes(8).toString("hex")}.sock`);
  const open = new Set<Socket>();
  const track = (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const server = createServer({ allowHalfOpen: true }, (inside) => {
    const outside = createConnection({ path: target, allowHalfOpen: true });
    track(inside);
    track(outside);
    inside.pipe(outside);
    outside.pipe(inside);
    outside.once("close", () => inside.destroy());
    inside.once("close", () => outside.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    path,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    },
  };
}
