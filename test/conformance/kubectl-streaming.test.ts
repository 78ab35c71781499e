import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StreamingServer } from "../../src/cri/streaming/server.ts";
import { requires } from "../helpers/requires.ts";
import { FakeRuntime, pattern } from "../helpers/streaming-runtime.ts";

/** Debian's kubectl against CRI's streaming server: between them an API server of one pod that only redirects. */
const kubectl = requires("kubectl");
const home = mkdtempSync(join(tmpdir(), "corten-kubectl-"));
const runtime = new FakeRuntime();
let streaming: StreamingServer;
let api: Server;

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default", uid: "1" },
  spec: { containers: [{ name: "c", image: "x", stdin: true }] },
  status: { phase: "Running" },
};
const answers: Record<string, unknown> = {
  "/api": { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [{ name: "pods", singularName: "", namespaced: true, kind: "Pod", verbs: ["get", "list"] }],
  },
  "/api/v1/namespaces/default/pods/p": pod,
};

function streamingUrl(url: URL): string | undefined {
  const flag = (name: string) => url.searchParams.get(name) === "true";
  const streams = {
    containerId: "c",
    tty: flag("tty"),
    stdin: flag("stdin"),
    stdout: flag("stdout"),
    stderr: flag("stderr"),
  };
  if (url.pathname.endsWith("/exec"))
    return streaming.exec({ ...streams, command: url.searchParams.getAll("command") });
  if (url.pathname.endsWith("/attach")) return streaming.attach(streams);
  if (url.pathname.endsWith("/portforward")) return streaming.portForward({ podSandboxId: "p", ports: [] });
  return undefined;
}

beforeAll(async () => {
  streaming = await StreamingServer.open({ address: "127.0.0.1", port: 0, runtime });
  api = createServer((request, response) => {
    const url = new URL(request.url!, "http://x");
    const location = streamingUrl(url);
    if (location !== undefined) response.writeHead(302, { Location: location }).end();
    else {
      const body = answers[url.pathname];
      response.writeHead(body ? 200 : 404, { "Content-Type": "application/json" });
      response.end(
        JSON.stringify(
          body ?? { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 },
        ),
      );
    }
  });
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  api.closeAllConnections();
  api.close();
  await streaming.close();
  rmSync(home, { recursive: true, force: true });
});

const command = (...argv: string[]) => [
  "kubectl",
  `--server=http://127.0.0.1:${(api.address() as AddressInfo).port}`,
  ...argv,
];
const environment = () => ({ PATH: process.env["PATH"]!, HOME: home });

async function run(argv: string[], input: Uint8Array = new Uint8Array(0)) {
  const child = Bun.spawn(command(...argv), {
    stdin: input,
    stdout: "pipe",
    stderr: "pipe",
    env: environment(),
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out: Buffer.from(out), err, code };
}

kubectl("exec gives both outputs and the command's exit code", async () => {
  const { out, err, code } = await run(["exec", "p", "--", "both"]);
  expect(out.toString()).toBe("out");
  expect(err).toBe("errcommand terminated with exit code 3\n");
  expect(code).toBe(3);
});

kubectl("exec shows why there was no command", async () => {
  const { err, code } = await run(["exec", "p", "--", "nope"]);
  expect(err).toContain("error executing command in container: no command nope");
  expect(code).toBe(1);
});

kubectl("exec -i carries 20 MB through and ends with its stdin", async () => {
  const input = Buffer.concat([...pattern(20_000_000)]);
  const { out, code } = await run(["exec", "-i", "p", "--", "cat"], input);
  expect(code).toBe(0);
  expect(out.equals(input)).toBe(true);
});

kubectl("attach -i carries stdin", async () => {
  const { out, code } = await run(["attach", "-i", "p", "-c", "c"], Buffer.from("hello"));
  expect(code).toBe(0);
  expect(out.toString()).toBe("attached\nhello");
});

kubectl("port-forward answers after a half-close", async () => {
  const child = Bun.spawn(command("port-forward", "--address=127.0.0.1", "p", ":1"), {
    stdout: "pipe",
    stderr: "ignore",
    env: environment(),
  });
  try {
    // It goes on talking: a closed stdout would end it.
    let said = "";
    const reader = child.stdout.getReader();
    while (!said.includes("->")) said += Buffer.from((await reader.read()).value!).toString();
    const port = Number(/127\.0\.0\.1:(\d+) ->/.exec(said)![1]);
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.end("through the pod");
    const parts: Buffer[] = [];
    for await (const bytes of socket) parts.push(bytes as Buffer);
    expect(Buffer.concat(parts).toString()).toBe("through the pod");
  } finally {
    child.kill();
    await child.exited;
  }
});
