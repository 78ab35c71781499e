/** Local ports whose connections go into a pod, each as a pair of SPDY streams of one connection. */
import { createServer, type Server, type Socket } from "node:net";
import { messageOf } from "../../base/errors.ts";
import { SpdySession } from "../../cri/streaming/spdy/session.ts";
import type { Call } from "../command.ts";
import { log } from "../log.ts";
import { readAll } from "./spdy.ts";
import { SocketWire, type TlsOptions, upgrade } from "./upgrade.ts";

const protocol = "portforward.k8s.io";

export interface ForwardedPort {
  local: number;
  remote: number;
}

/** `5000`, `8888:5000`, and `:5000` for a local port that is free. */
export function parsePorts(texts: readonly string[]): ForwardedPort[] {
  const number = (text: string, which: string) => {
    if (!/^\d+$/.test(text))
      throw new Error(
        `error parsing ${which} port '${text}': strconv.ParseUint: parsing "${text}": invalid syntax`,
      );
    if (Number(text) > 0xffff)
      throw new Error(
        `error parsing ${which} port '${text}': strconv.ParseUint: parsing "${text}": value out of range`,
      );
    return Number(text);
  };
  return texts.map((text) => {
    const parts = text.split(":");
    if (parts.length > 2) throw new Error(`invalid port format '${text}'`);
    const [localText = "", remoteText = localText] = parts;
    const local = number(localText === "" && parts.length === 2 ? "0" : localText, "local");
    const remote = number(remoteText, "remote");
    if (remote === 0) throw new Error("remote port must be > 0");
    return { local, remote };
  });
}

/** Forwards until an interrupt; rejects when the server has gone. */
export async function forwardPorts(
  call: Call,
  url: URL,
  texts: readonly string[],
  tls: TlsOptions,
  transport: "spdy" | "websocket",
): Promise<void> {
  const ports = parsePorts(texts);
  const upgrading =
    transport === "spdy"
      ? upgrade(url, [protocol], tls)
      : (await import("./tunnel.ts")).tunnel(url, protocol, tls);
  const upgraded = await upgrading.catch((error) => {
    throw new Error(`error upgrading connection: ${messageOf(error)}`, { cause: error });
  });
  if (upgraded.protocol !== protocol) {
    upgraded.wire.destroy();
    throw new Error(
      `unable to negotiate protocol: client supports "${protocol}", server returned "${upgraded.protocol}"`,
    );
  }
  const session = new SpdySession(upgraded.wire, { role: "client" });
  const reading = session.run();
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  let requests = 0;
  try {
    for (const port of ports) {
      const accept = (socket: Socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        call.print(`Handling connection for ${port.local}\n`);
        void handle(session, socket, port, requests++);
      };
      servers.push(...(await listenLocally(call, port, accept)));
    }
    if (servers.length === 0)
      throw new Error(
        `unable to listen on any of the requested ports: [${ports.map(({ local, remote }) => `{${local} ${remote}}`).join(" ")}]`,
      );
    const interrupted = new Promise<"interrupted">((done) => {
      call.interrupted.addEventListener("abort", () => done("interrupted"), { once: true });
      if (call.interrupted.aborted) done("interrupted");
    });
    const why = await Promise.race([interrupted, reading.then(() => "lost" as const)]);
    if (why === "lost") throw new Error("lost connection to pod");
  } finally {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
    session.destroy();
    await reading;
  }
}

/** On both loopback addresses; one of them is enough. */
async function listenLocally(
  call: Call,
  port: ForwardedPort,
  accept: (socket: Socket) => void,
): Promise<Server[]> {
  const servers: Server[] = [];
  const failures: string[] = [];
  for (const host of ["127.0.0.1", "::1"]) {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, accept);
    try {
      await new Promise<void>((done, fail) => {
        server.once("error", fail);
        server.listen(port.local, host, () => done());
      });
      const address = server.address();
      if (typeof address === "object" && address) port.local = address.port;
      const shown = host.includes(":") ? `[${host}]` : host;
      call.print(`Forwarding from ${shown}:${port.local} -> ${port.remote}\n`);
      servers.push(server);
    } catch (error) {
      failures.push(`unable to create listener: Error ${messageOf(error)}`);
    }
  }
  if (servers.length === 0)
    call.printError(
      `Unable to listen on port ${port.local}: Listeners failed to create with the following errors: [${failures.join(" ")}]\n`,
    );
  return servers;
}

async function handle(
  session: SpdySession,
  socket: Socket,
  port: ForwardedPort,
  request: number,
): Promise<void> {
  const headers = (type: string) =>
    new Map([
      ["streamtype", type],
      ["port", String(port.remote)],
      ["requestid", String(request)],
    ]);
  // Not a loop over the socket itself: that would end both of its directions.
  const local = new SocketWire(socket);
  socket.resume();
  try {
    const error = await session.open(headers("error"));
    const problem = readAll(error);
    void error.end();
    const data = await session.open(headers("data"));
    const outgoing = (async () => {
      try {
        for (let bytes = await local.read(); bytes; bytes = await local.read()) await data.write(bytes);
        await data.end();
      } catch {
        // The pod's side has ended.
      }
    })();
    for await (const bytes of data.inbound) if (!(await local.write(bytes))) break;
    socket.end();
    const text = await problem;
    if (text !== "") {
      log("error", `an error occurred forwarding ${port.local} -> ${port.remote}: ${text}`);
      socket.destroy();
      data.reset();
    }
    await outgoing;
  } catch (error) {
    if (!session.signal.aborted)
      log(
        "error",
        `error creating forwarding stream for port ${port.local} -> ${port.remote}: ${messageOf(error)}`,
      );
    socket.destroy();
  }
}
