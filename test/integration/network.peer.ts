/** A small server or client, run inside a network namespace by network.test.ts: `serve|ask tcp|udp …`. */
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

const [verb, protocol, first = "", second = ""] = process.argv.slice(2);

if (verb === "serve") {
  const port = Number(first);
  const answer = (address: string | undefined) => `${second} to ${address?.replace("::ffff:", "")}`;
  if (protocol === "tcp") {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      socket.resume().on("end", () => socket.end(answer(socket.remoteAddress)));
    });
    server.listen(port, "0.0.0.0", () => console.log("ready"));
  } else {
    const socket = createSocket("udp4");
    socket.on("message", (_, from) => socket.send(answer(from.address), from.port, from.address));
    socket.bind(port, "0.0.0.0", () => console.log("ready"));
  }
} else if (protocol === "tcp") {
  const socket = connect({ host: first, port: Number(second), allowHalfOpen: true });
  let text = "";
  socket.on("connect", () => socket.end("hello"));
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.on("end", () => {
    console.log(text);
    process.exit(0);
  });
  socket.on("error", (error) => fail(String(error)));
  setTimeout(() => fail("no answer"), Number(process.env["ASK_TIMEOUT"] ?? 5000));
} else {
  const socket = createSocket("udp4");
  socket.on("message", (message) => {
    console.log(String(message));
    process.exit(0);
  });
  socket.on("error", (error) => fail(String(error)));
  // A fixed source port makes several calls one flow.
  socket.bind(Number(process.env["SOURCE_PORT"] ?? 0), () => socket.send("hello", Number(second), first));
  setTimeout(() => fail("no answer"), Number(process.env["ASK_TIMEOUT"] ?? 5000));
}

function fail(reason: string): never {
  console.log(`failed: ${reason}`);
  process.exit(1);
}
