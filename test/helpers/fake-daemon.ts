/** A daemon that answers with canned JSON and records what it was asked: for comparing clients. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RecordedRequest {
  method: string;
  /** Path and query, without the API version. */
  target: string;
  body: string;
  headers: Record<string, string>;
}

export type Answer = { status?: number; json?: unknown; text?: string } | undefined;

export class FakeDaemon implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "corten-fake-"));
  readonly host = `unix://${join(this.directory, "docker.sock")}`;
  readonly requests: RecordedRequest[] = [];
  readonly #server: Bun.Server<undefined>;

  constructor(answer: (request: RecordedRequest) => Answer, apiVersion = "1.50") {
    this.#server = Bun.serve({
      unix: join(this.directory, "docker.sock"),
      fetch: async (request) => {
        const url = new URL(request.url);
        const recorded: RecordedRequest = {
          method: request.method,
          target: url.pathname.replace(/^\/v\d+\.\d+/, "") + url.search,
          body: await request.text(),
          headers: Object.fromEntries(request.headers),
        };
        const headers = {
          "Api-Version": apiVersion,
          "Docker-Experimental": "false",
          Ostype: "linux",
          "Content-Type": "application/json",
        };
        if (url.pathname === "/_ping")
          return new Response(request.method === "HEAD" ? null : "OK", { headers });
        this.requests.push(recorded);
        const found = answer(recorded) ?? { status: 404, json: { message: "page not found" } };
        const text = found.text ?? (found.json === undefined ? null : JSON.stringify(found.json));
        return new Response(text, { status: found.status ?? 200, headers });
      },
    });
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** The docker command line to compare with. */
export const realDocker = "/usr/local/bin/docker";
const ourMain = join(import.meta.dir, "../../src/main.ts");

/** Runs a client, `ours` under the name docker so that texts are comparable. */
export async function runClient(
  which: "ours" | "real",
  args: readonly string[],
  options: { host: string; env?: Record<string, string>; cwd?: string; stdin?: string },
): Promise<Ended> {
  const command = which === "real" ? [realDocker, ...args] : [process.execPath, ourMain, ...args];
  const child = Bun.spawn(command, {
    argv0: which === "real" ? realDocker : "docker",
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: "/nonexistent",
      TZ: "UTC",
      DOCKER_HOST: options.host,
      ...options.env,
    },
    ...(options.cwd ? { cwd: options.cwd } : {}),
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}
