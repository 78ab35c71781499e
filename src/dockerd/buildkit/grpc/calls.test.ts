import { expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileSend } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { type GetSecretRequest, Secrets } from "../../../../proto/gen/moby/session/secrets_pb.ts";
import { BytesMessageSchema } from "../../../../proto/gen/moby/session/upload_pb.ts";
import { CortenError, notFound } from "../../../base/errors.ts";
import { Http2Connection } from "../http2/connection.ts";
import { encodeFrame, frameType, preface } from "../http2/frames.ts";
import { pipe } from "../http2/pipe.ts";
import { GrpcClient } from "./client.ts";
import { type Implementation, serveGrpc, streaming, unary } from "./server.ts";

function connected(implementations: { secrets?: Implementation; send?: Implementation }) {
  const [here, there] = pipe();
  const server = serveGrpc(there, {
    services: [
      [Secrets, implementations.secrets ?? {}],
      [FileSend, implementations.send ?? {}],
    ],
  });
  const connection = new Http2Connection(here, { role: "client" });
  return { client: new GrpcClient(connection), connection, server };
}

async function failure(work: Promise<unknown>): Promise<CortenError> {
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  );
  if (!(error instanceof CortenError)) throw new Error(`no CortenError: ${error}`);
  return error;
}

test("a unary call brings its answer, its metadata arrives", async () => {
  let seen: readonly string[] | undefined;
  const { client, connection } = connected({
    secrets: {
      GetSecret: unary((request: GetSecretRequest, { metadata }) => {
        seen = metadata.get("x-name");
        return { data: Buffer.from(`secret of ${request.ID}`) };
      }),
    },
  });
  const { data } = await client.unary(
    Secrets.method.getSecret,
    { ID: "x" },
    { metadata: { "x-name": ["a", "b"] } },
  );
  expect(Buffer.from(data).toString()).toBe("secret of x");
  expect(seen).toEqual(["a", "b"]);
  connection.close();
});

test("an error keeps its code and its text, whatever characters are in it", async () => {
  const { client, connection } = connected({
    secrets: {
      GetSecret: unary(() => {
        throw notFound("schön: 100% weg\n");
      }),
    },
  });
  const error = await failure(client.unary(Secrets.method.getSecret, { ID: "x" }));
  expect(error.code).toBe("not_found");
  expect(error.message).toBe("schön: 100% weg\n");
  connection.close();
});

test("a method that nobody serves is unimplemented", async () => {
  const { client, connection } = connected({});
  expect((await failure(client.unary(Secrets.method.getSecret, { ID: "x" }))).code).toBe("unimplemented");
  connection.close();
});

test("messages far larger than all windows go both ways at once", async () => {
  const { client, connection } = connected({
    send: {
      DiffCopy: streaming(async function* (input: AsyncIterable<{ data: Uint8Array }>) {
        for await (const { data } of input) yield { data };
      } as Parameters<typeof streaming>[0]),
    },
  });
  const call = client.open(FileSend.method.diffCopy, {});
  const sizes = [0, 1, 16_384, 65_535, 3 << 20, 12 << 20, 5];
  const sending = (async () => {
    for (const size of sizes)
      await call.send(
        toBinary(BytesMessageSchema, create(BytesMessageSchema, { data: Buffer.alloc(size, size & 0xff) })),
      );
    await call.end();
  })();
  const got: number[] = [];
  for await (const message of call.messages()) {
    const { data } = fromBinary(BytesMessageSchema, message);
    expect(data.every((byte) => byte === (data.length & 0xff))).toBe(true);
    got.push(data.length);
  }
  await sending;
  expect(got).toEqual(sizes);
  connection.close();
});

test("many calls at a time do not disturb each other", async () => {
  const { client, connection } = connected({
    secrets: {
      GetSecret: unary((request: GetSecretRequest) => ({
        data: Buffer.alloc(50_000, request.ID),
      })),
    },
  });
  const ids = Array.from({ length: 200 }, (_, index) => String(index % 10));
  const answers = await Promise.all(ids.map((ID) => client.unary(Secrets.method.getSecret, { ID })));
  for (const [index, { data }] of answers.entries())
    expect(Buffer.from(data.subarray(0, 3)).toString()).toBe(ids[index]!.repeat(3));
  connection.close();
});

test("who gives a call up ends it on the other side", async () => {
  let ended: (() => void) | undefined;
  const over = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const { client, connection } = connected({
    secrets: {
      GetSecret: unary((_request, { signal }) => {
        signal.addEventListener("abort", () => ended?.());
        return new Promise(() => {});
      }),
    },
  });
  const abort = new AbortController();
  const call = client.unary(Secrets.method.getSecret, { ID: "x" }, { signal: abort.signal });
  call.catch(() => {});
  setTimeout(() => abort.abort(), 10);
  expect((await failure(call)).code).toBe("canceled");
  await over;
  connection.close();
});

test("the end of the connection fails what is open", async () => {
  const { client, connection, server } = connected({
    secrets: { GetSecret: unary(() => new Promise(() => {})) },
  });
  const call = client.unary(Secrets.method.getSecret, { ID: "x" });
  call.catch(() => {});
  setTimeout(() => server.close(), 10);
  expect((await failure(call)).code).toBe("unavailable");
  expect(connection.closed.aborted).toBe(true);
});

test("what is not HTTP/2 ends the connection", async () => {
  const [here, there] = pipe();
  const server = serveGrpc(there, { services: [] });
  await here.write(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  if (!server.closed.aborted)
    await new Promise<void>((resolve) => server.closed.addEventListener("abort", () => resolve()));
  expect(String(server.closed.reason)).toContain("not HTTP/2");
});

test("who asks and does not read is let go", async () => {
  const [here, there] = pipe();
  const stuck = {
    read: () => there.read(),
    write: () => new Promise<boolean>(() => {}),
    destroy: () => there.destroy(),
  };
  const server = serveGrpc(stuck, { services: [] });
  await here.write(preface);
  // The answer to a ping has 17 bytes.
  const pings = Buffer.concat(
    Array.from({ length: 10_000 }, () => encodeFrame(frameType.ping, 0, 0, Buffer.alloc(8))),
  );
  for (let round = 0; round < 500 && !server.closed.aborted; round++) {
    await here.write(pings);
    await new Promise((next) => setImmediate(next));
  }
  expect(String(server.closed.reason)).toContain("does not read");
});
