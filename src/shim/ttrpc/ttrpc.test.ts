import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Content, WriteAction } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { Task } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { notFound } from "../../base/errors.ts";
import { createTtrpcTransport, TtrpcServer, type TtrpcTransport } from "./index.ts";

const undo: Array<() => void> = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function serverAt(): { server: TtrpcServer; path: string } {
  const dir = mkdtempSync(join(tmpdir(), "corten-ttrpc-"));
  const server = new TtrpcServer();
  const path = join(dir, "s");
  server.listen(path);
  undo.push(() => {
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { server, path };
}

function transportTo(path: string): TtrpcTransport {
  const transport = createTtrpcTransport({ connect: { path } });
  undo.push(() => transport.close());
  return transport;
}

async function errorOf(work: Promise<unknown>): Promise<ConnectError> {
  try {
    await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it did not fail");
}

describe("ttrpc", () => {
  test("a unary call carries its message, metadata and time limit", async () => {
    const { server, path } = serverAt();
    let seen: unknown;
    server.service(Task, {
      start(request, context) {
        seen = [
          request.id,
          context.requestHeader.get("containerd-namespace-ttrpc"),
          context.timeoutMs()! > 1000,
        ];
        return { pid: 7 };
      },
    });
    const client = createClient(Task, transportTo(path));
    const headers = { "Containerd-Namespace-TTRPC": "moby" };
    expect((await client.start({ id: "c1" }, { headers, timeoutMs: 60_000 })).pid).toBe(7);
    expect(seen).toEqual(["c1", "moby", true]);
  });

  test("an error comes back with its code and text, a missing method and service as unimplemented", async () => {
    const { server, path } = serverAt();
    server.service(Task, {
      state() {
        throw notFound("task x: not found");
      },
    });
    const client = createClient(Task, transportTo(path));
    const missing = await errorOf(client.state({ id: "x" }));
    expect([missing.code, missing.rawMessage]).toEqual([Code.NotFound, "task x: not found"]);
    expect((await errorOf(client.pids({ id: "x" }))).code).toBe(Code.Unimplemented);
    const content = createClient(Content, transportTo(path));
    expect((await errorOf(content.info({}))).code).toBe(Code.Unimplemented);
  });

  test("a call that is not answered in time fails on both sides", async () => {
    const { server, path } = serverAt();
    let reason: unknown;
    server.service(Task, {
      wait: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            reject(signal.reason);
          });
        }),
    });
    const client = createClient(Task, transportTo(path));
    expect((await errorOf(client.wait({}, { timeoutMs: 30 }))).code).toBe(Code.DeadlineExceeded);
    while (!reason) await Bun.sleep(5);
    expect(ConnectError.from(reason).rawMessage).toContain("deadline");
  });

  test("a server's stream arrives whole and in order, and can be left early", async () => {
    const { server, path } = serverAt();
    let left = false;
    server.service(Content, {
      async *read(request) {
        try {
          for (let i = 0; i < 200; i++) yield { offset: BigInt(i), data: new Uint8Array(100_000).fill(i) };
          if (request.digest === "bad") throw notFound("the rest is missing");
        } finally {
          left = true;
        }
      },
    });
    const client = createClient(Content, transportTo(path));
    let count = 0;
    for await (const { offset, data } of client.read({})) {
      expect([offset, data[99_999]]).toEqual([BigInt(count), count]);
      count++;
      // Reading slowly must cost memory neither here nor there.
      if (count % 50 === 0) await Bun.sleep(5);
    }
    expect(count).toBe(200);
    const failing = await errorOf(
      (async () => {
        for await (const _ of client.read({ digest: "bad" }));
      })(),
    );
    expect([failing.code, failing.rawMessage]).toEqual([Code.NotFound, "the rest is missing"]);
    left = false;
    const leave = new AbortController();
    const early = await errorOf(
      (async () => {
        for await (const _ of client.read({}, { signal: leave.signal })) leave.abort();
      })(),
    );
    expect(early.code).toBe(Code.Canceled);
    // The server is not told, but it gets rid of the rest.
    while (!left) await Bun.sleep(5);
  });

  test("both sides stream at once", async () => {
    const { server, path } = serverAt();
    server.service(Content, {
      async *write(requests) {
        let total = 0n;
        for await (const { data } of requests) {
          total += BigInt(data.length);
          yield { action: WriteAction.WRITE, total };
        }
      },
    });
    const client = createClient(Content, transportTo(path));
    const totals: bigint[] = [];
    const requests = (async function* () {
      for (let i = 1; i <= 5; i++) yield { data: new Uint8Array(i) };
    })();
    for await (const { total } of client.write(requests)) totals.push(total);
    expect(totals).toEqual([1n, 3n, 6n, 10n, 15n]);
  });

  test("the end of the connection ends every call, and what was running is aborted", async () => {
    const { server, path } = serverAt();
    let begun = 0;
    let aborted = 0;
    server.service(Task, {
      wait: (_, { signal }) =>
        new Promise(() => {
          begun++;
          signal.addEventListener("abort", () => aborted++);
        }),
    });
    const transport = transportTo(path);
    const client = createClient(Task, transport);
    const calls = [errorOf(client.wait({})), errorOf(client.wait({}))];
    while (begun < 2) await Bun.sleep(5);
    transport.close();
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual([Code.Unavailable, Code.Unavailable]);
    await transport.closed;
    while (aborted < 2) await Bun.sleep(5);
    expect((await errorOf(client.wait({}))).code).toBe(Code.Unavailable);
  });

  test("nobody at the socket, and too large a message, are errors with the reason", async () => {
    const { path } = serverAt();
    const nobody = await errorOf(createClient(Task, transportTo(`${path}-none`)).pids({}));
    expect(nobody.code).toBe(Code.Unavailable);
    expect(nobody.rawMessage).toContain(`${path}-none`);
    const large = createClient(Content, transportTo(path)).info({ digest: "x".repeat(5 << 20) });
    expect((await errorOf(large)).code).toBe(Code.ResourceExhausted);
  });

  test("many calls at once find their own answers", async () => {
    const { server, path } = serverAt();
    server.service(Task, {
      async start({ id }) {
        await Bun.sleep(Math.random() * 20);
        return { pid: Number(id) };
      },
    });
    const client = createClient(Task, transportTo(path));
    const ids = Array.from({ length: 300 }, (_, index) => index + 1);
    const answers = await Promise.all(ids.map((id) => client.start({ id: String(id) })));
    expect(answers.map(({ pid }) => pid)).toEqual(ids);
  });
});
