import { connect, createServer, type Server, type Socket } from "node:net";
import type { PublishedPort } from "./ruleset.ts";

/**
 * TCP from an IPv6 address of the host (`::1` above all) to a container's IPv4 address. The rules translate
 * addresses within IPv4 only, so these connections go through the engine; they end when it does, and
 * the relay is there again when it comes back. Nothing for UDP.
 */
export async function startRelay(port: PublishedPort): Promise<Relay> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const target = connect({ host: port.containerIp, port: port.containerPort, allowHalfOpen: true });
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        // After an orderly end of both directions this is a no-op.
        other.destroy();
      });
    }
    target.on("connect", () => {
      client.pipe(target);
      target.pipe(client);
      client.resume();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: port.hostIp, port: port.hostPort, ipv6Only: true, exclusive: true }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return new Relay(server, sockets);
}

export class Relay {
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
