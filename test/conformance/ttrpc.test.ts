/** Our ttrpc against Go's, in both roles: our client drives the real shim, whose events come to our server. */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Events } from "../../proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { Task } from "../../proto/gen/containerd/task/v2/shim_pb.ts";
import { createTtrpcTransport, TtrpcServer } from "../../src/shim/ttrpc/index.ts";
import { makeBundle } from "../helpers/bundle.ts";
import { run, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

requires("containerd-shim-runc-v2", "runc", "/bin/busybox")(
  "our client and server talk to Go's in the real shim",
  async () => {
    await using bundle = makeBundle(["runc"]);
    const { id, directory } = bundle;
    const place = mkdtempSync(join(tmpdir(), "corten-ttrpc-go-"));
    const events: Array<[string, string]> = [];
    const server = new TtrpcServer().service(Events, {
      forward({ envelope }) {
        events.push([envelope?.namespace ?? "", envelope?.topic ?? ""]);
        return {};
      },
    });
    server.listen(join(place, "events"));
    bundle.configure(["sh", "-c", "sleep 600"]);
    // The shim waits for a reader of its log when that is a FIFO; a file will do.
    writeFileSync(join(directory, "log"), "");
    const namespace = `go-${process.pid}`;
    const env = { TTRPC_ADDRESS: join(place, "events") };
    const argv = [
      "containerd-shim-runc-v2",
      "-namespace",
      namespace,
      "-id",
      id,
      "-address",
      join(place, "none"),
    ];
    const started = await run([...argv, "start"], { cwd: directory, env });
    expect(started.stdout).toStartWith("unix:///");
    const path = started.stdout.trim().slice("unix://".length);
    const transport = createTtrpcTransport({ connect: { path } });
    const task = createClient(Task, transport);
    const failure = async (work: Promise<unknown>) =>
      ConnectError.from(
        await work.then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
    let running = 0;
    try {
      const { shimPid } = await task.connect({ id });
      expect(readFileSync(`/proc/${shimPid}/cmdline`, "utf8")).toContain("containerd-shim-runc-v2");
      running = shimPid;
      const missing = await failure(task.state({ id: "none" }));
      expect([missing.code, missing.rawMessage]).toEqual([Code.NotFound, "container not created: not found"]);
      const { pid } = await task.create({ id, bundle: directory });
      expect(await task.start({ id })).toMatchObject({ pid });
      // Fifty calls side by side on the one connection, one of them for long.
      const wait = task.wait({ id });
      const states = await Promise.all(Array.from({ length: 50 }, () => task.state({ id })));
      expect(new Set(states.map((state) => state.pid))).toEqual(new Set([pid]));
      expect((await failure(task.wait({ id }, { timeoutMs: 100 }))).code).toBe(Code.DeadlineExceeded);
      await task.kill({ id, signal: 9 });
      expect((await wait).exitStatus).toBe(137);
      expect((await task.delete({ id })).exitStatus).toBe(137);
      const large = await failure(task.state({ id: "x".repeat(5 << 20) }));
      expect(large.code).toBe(Code.ResourceExhausted);
      const topics = ["create", "start", "exit", "delete"].map((name) => `/tasks/${name}`);
      await until("the events", () => topics.every((topic) => events.some((event) => event[1] === topic)));
      expect(new Set(events.map(([from]) => from))).toEqual(new Set([namespace]));
      // Go's shim may be gone before its answer has left.
      await task.shutdown({ id }).catch((error) => {
        if (ConnectError.from(error).code !== Code.Unavailable) throw error;
      });
      await transport.closed;
      expect((await failure(task.connect({ id }))).code).toBe(Code.Unavailable);
      await until("the shim's end", () => zombie(shimPid));
    } finally {
      transport.close();
      server.close();
      if (running > 0 && !zombie(running)) await run(["kill", "-9", String(running)]);
      await run([...argv, "-bundle", directory, "delete"], { cwd: directory, env });
      rmSync(path, { force: true });
      rmSync(place, { recursive: true, force: true });
      rmSync(`/run/containerd/runc/${namespace}`, { recursive: true, force: true });
    }
  },
  240_000,
);

/** Or gone. */
const zombie = (pid: number): boolean => {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
};
