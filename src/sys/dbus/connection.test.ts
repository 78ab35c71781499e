import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket, UnixSocketListener } from "bun";
import { messageOf } from "../../base/errors.ts";
import { DbusConnection, DbusError } from "./connection.ts";
import { decodeMessage, encodeMessage, type Message, messageSize, messageType } from "./message.ts";

const undo: Array<() => void> = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

type Answer = Partial<Message> | "end" | "silence";

/** A server that authenticates everybody and answers as told. */
function serve(answer: (call: Message) => Answer[], auth = "OK 1234") {
  const directory = mkdtempSync(join(tmpdir(), "corten-dbus-"));
  undo.push(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "bus");
  const said: string[] = [];
  let serial = 100;
  const reply = (socket: Socket<{ input: Buffer; begun: boolean }>, call: Message) => {
    for (const one of answer(call)) {
      if (one === "end") socket.end();
      else if (one !== "silence")
        socket.write(
          encodeMessage({
            type: messageType.reply,
            serial: serial++,
            ...(one.type === messageType.signal ? {} : { replySerial: call.serial }),
            signature: "",
            body: [],
            ...one,
          }),
        );
    }
  };
  const server: UnixSocketListener<{ input: Buffer; begun: boolean }> = Bun.listen({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { input: Buffer.alloc(0), begun: false };
      },
      data(socket, data) {
        const state = socket.data;
        state.input = Buffer.concat([state.input, data]);
        while (!state.begun) {
          const end = state.input.indexOf("\r\n");
          if (end < 0) return;
          const line = state.input.toString("utf8", 0, end);
          said.push(line);
          state.input = state.input.subarray(end + 2);
          if (line === "BEGIN") state.begun = true;
          else socket.write(`${auth}\r\n`);
        }
        for (;;) {
          const size = messageSize(state.input);
          if (size === undefined || state.input.length < size) return;
          const call = decodeMessage(state.input.subarray(0, size));
          state.input = state.input.subarray(size);
          reply(socket, call);
        }
      },
    },
  });
  undo.push(() => server.stop(true));
  return { path, said };
}

const ask = { destination: "org.x", path: "/", interface: "org.x", member: "Get" };

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it succeeded");
}

test("authenticates as our own user, says hello to a bus and gets answers", async () => {
  const { path, said } = serve(({ member, body }) => [
    { signature: "s", body: [`${member} ${body.join(" ")}`] },
  ]);
  const connection = await DbusConnection.open(path, "bus");
  undo.push(() => connection.close());
  const uid = Buffer.from(String(process.geteuid!())).toString("hex");
  expect(said).toEqual([`\0AUTH EXTERNAL ${uid}`, "BEGIN"]);
  const answers = await Promise.all(
    ["a", "b"].map((one) => connection.call({ ...ask, signature: "s", body: [one] })),
  );
  expect(answers).toEqual([["Get a"], ["Get b"]]);
});

test("an error's name and text come back; signals go to who listens, before an answer that follows them", async () => {
  const { path } = serve(() => [
    { type: messageType.signal, interface: "org.x", member: "Changed", path: "/" },
    {
      type: messageType.error,
      errorName: "org.freedesktop.systemd1.UnitExists",
      signature: "s",
      body: ["it is there"],
    },
  ]);
  const connection = await DbusConnection.open(path, "direct");
  undo.push(() => connection.close());
  const seen: string[] = [];
  connection.onSignal = ({ member }) => seen.push(member!);
  const error = await failure(connection.call(ask));
  expect(seen).toEqual(["Changed"]);
  expect(error).toBeInstanceOf(DbusError);
  expect(error).toMatchObject({ code: "already_exists", message: "it is there" });
});

test("calls under way fail when the other side goes, and later ones at once", async () => {
  const { path } = serve(() => ["end"]);
  const connection = await DbusConnection.open(path, "direct");
  expect(messageOf(await failure(connection.call(ask)))).toContain("the other side ended the connection");
  expect(await failure(connection.call(ask))).toMatchObject({ code: "unavailable" });
});

test("a refused authentication and a socket where nobody listens name the socket", async () => {
  const { path } = serve(() => [], "REJECTED EXTERNAL");
  expect(messageOf(await failure(DbusConnection.open(path, "bus")))).toContain(
    `D-Bus at ${path}: not authenticated: REJECTED EXTERNAL`,
  );
  expect(await failure(DbusConnection.open(`${path}-none`, "bus"))).toMatchObject({ code: "unavailable" });
});
