import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "./server.ts";

/** The status and message that gRPC gives a call of `path`. */
function call(socketPath: string, path: string): Promise<{ status: string; message: string }> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2("http://localhost", { createConnection: () => connect(socketPath) });
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let found: Record<string, unknown> = {};
    const take = (headers: Record<string, unknown>) => {
      found = { ...found, ...headers };
    };
    stream.on("response", take);
    stream.on("trailers", take);
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      const message = decodeURIComponent(String(found["grpc-message"] ?? ""));
      resolve({ status: String(found["grpc-status"]), message });
    });
    stream.end(Buffer.alloc(5));
    stream.resume();
  });
}

test("a service or method that is not there is unimplemented in gRPC's words, not a page that was not found", async () => {
  const root = mkdtempSync(join(tmpdir(), "corten-grpc-"));
  const socket = join(root, "c.sock");
  // Each published service without a single method.
  const services = new Map<string, Record<string, unknown>>();
  services.get = () => ({});
  const server = await serve(services, socket);
  try {
    expect(await call(socket, "/containerd.services.mounts.v1.Mounts/List")).toEqual({
      status: "12",
      message: "unknown service containerd.services.mounts.v1.Mounts",
    });
    expect(await call(socket, "/containerd.services.version.v1.Version/Nothing")).toEqual({
      status: "12",
      message: "unknown method Nothing for service containerd.services.version.v1.Version",
    });
  } finally {
    await server.close();
    rmSync(root, { recursive: true, force: true });
  }
});
