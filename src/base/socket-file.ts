/** Socket files of daemons. Loaded only where one is served or looked for: node:net costs start-up time. */
import { chmodSync, chownSync, mkdirSync, rmSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { conflict } from "./errors.ts";

/** True where somebody takes connections at a socket file. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Runs `make` with a umask that keeps what it makes from others: not even for a moment may they connect. */
export function forRootsGroup<T>(make: () => T): T {
  const mask = process.umask(0o117);
  try {
    return make();
  } finally {
    process.umask(mask);
  }
}

/** Has `server` listen at a socket file, for root and its group alone; one that nobody answers on any more is replaced. */
export async function listenAt(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  if (await answers(path)) throw conflict(`${path} is in use by another daemon`);
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    forRootsGroup(() => server.listen(path, resolve));
  });
  chownSync(path, 0, 0);
  chmodSync(path, 0o660);
}
