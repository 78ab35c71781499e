/** One socket for gRPC and for plain HTTP, told apart by the first bytes: HTTP/2 begins with `PRI`. */
import { rmSync } from "node:fs";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { createServer, type Socket } from "node:net";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { listenAt } from "../base/socket-file.ts";
import type { NodeHandler } from "../cri/service/handler.ts";
import type { InspectAnswer } from "./inspect.ts";

const preface = Buffer.from("PRI");
/** A plain request's head is no longer. */
const headLimit = 16 << 10;
const headTimeout = 10_000;

export interface Listening {
  close(): Promise<void>;
}

export async function listenBoth(
  path: string,
  handler: NodeHandler,
  answer: (path: string) => Promise<InspectAnswer>,
): Promise<Listening> {
  const http2 = createHttp2Server({}, handler);
  const sessions = new Set<ServerHttp2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  http2.on("error", (error) => log.error("grpc server", { error: error.message }));
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let head = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), headTimeout);
    timer.unref();
    const read = (data: Buffer) => {
      head = Buffer.concat([head, data]);
      if (head.length < preface.length) return;
      if (head.subarray(0, preface.length).equals(preface)) {
        clearTimeout(timer);
        socket.off("data", read);
        socket.pause();
        socket.unshift(head);
        http2.emit("connection", socket);
        socket.resume();
        return;
      }
      if (head.length > headLimit) return void socket.destroy();
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      clearTimeout(timer);
      socket.off("data", read);
      void reply(socket, head.toString("latin1", 0, end), answer);
    };
    socket.on("data", read);
  };
  const server = createServer(serve);
  await listenAt(server, path);
  server.on("error", (error) => log.error("the socket", { error: error.message }));
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      rmSync(path, { force: true });
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 500))]);
    },
  };
}

async function reply(
  socket: Socket,
  head: string,
  answer: (path: string) => Promise<InspectAnswer>,
): Promise<void> {
  const [method, target = "/"] = head.split("\r\n", 1)[0]!.split(" ");
  let found: InspectAnswer;
  try {
    found =
      method === "GET"
        ? await answer(target.split("?", 1)[0]!)
        : { status: 405, type: "text/plain", body: "method not allowed\n" };
  } catch (error) {
    found = { status: 500, type: "text/plain", body: `${messageOf(error)}\n` };
  }
  const body = Buffer.from(found.body);
  const words: Record<number, string> = { 200: "OK", 404: "Not Found", 405: "Method Not Allowed" };
  socket.end(
    Buffer.concat([
      Buffer.from(
        `HTTP/1.1 ${found.status} ${words[found.status] ?? "Internal Server Error"}\r\nContent-Type: ${found.type}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
      ),
      body,
    ]),
  );
}
