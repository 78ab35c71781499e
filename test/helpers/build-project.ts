/** The projects of test/fixtures/projects, built as their authors would: in a copy, which tests may change. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BuildStatus } from "../../src/engine/types.ts";
import { corten, type Engine, type Output, run, until } from "./engine.ts";

const fixtures = join(import.meta.dir, "../fixtures/projects");

/** What a build did of the steps that the Dockerfile has; both lists are sorted. */
export interface Steps {
  /** Names of steps that were executed, without `[stage 2/5]`. */
  ran: string[];
  cached: string[];
  /** Milliseconds of the whole command. */
  time: number;
}

export interface Project extends Disposable {
  readonly directory: string;
  write(path: string, content: string | Uint8Array): void;
  /** `corten build ARGUMENTS .`, which has to succeed. */
  build(...argv: string[]): Promise<Steps>;
}

export function openProject(engine: Engine, name: string, env: Record<string, string> = {}): Project {
  const directory = mkdtempSync(join(tmpdir(), `corten-project-${name}-`));
  cpSync(join(fixtures, name), directory, { recursive: true });
  return {
    directory,
    write: (path, content) => writeFileSync(join(directory, path), content),
    async build(...argv) {
      const started = performance.now();
      const command = [...corten, "-H", engine.host, "build", "--progress", "rawjson", ...argv, "."];
      const { code, stdout, stderr } = await run(command, { cwd: directory, env, timeout: 500_000 });
      if (code !== 0) throw new Error(`build of ${name} ended with ${code}:\n${readable(stderr)}${stdout}`);
      return { ...stepsOf(stderr), time: performance.now() - started };
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function messages(stderr: string): BuildStatus[] {
  return stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as BuildStatus);
}

function stepsOf(stderr: string): Omit<Steps, "time"> {
  const vertices = new Map<string, { name: string; cached: boolean; started: boolean }>();
  for (const { vertexes = [] } of messages(stderr))
    for (const { digest, name, cached = false, started } of vertexes) {
      const known = vertices.get(digest);
      vertices.set(digest, {
        name,
        cached: cached || known?.cached === true,
        started: started !== undefined || known?.started === true,
      });
    }
  // `[build 2/5] RUN …`, not `[internal] …`, nor what the export says.
  const steps = [...vertices.values()].filter(({ name }) => /^\[[^\]]*\d+\/\d+\] /.test(name));
  const names = (some: typeof steps) => some.map(({ name }) => name.replace(/^\[.*?\] /, "")).sort();
  return {
    ran: names(steps.filter(({ cached, started }) => started && !cached)),
    cached: names(steps.filter(({ cached }) => cached)),
  };
}

/** Output and errors of steps, for the message of a test that failed. */
const readable = (stderr: string): string =>
  stderr
    .split("\n")
    .flatMap((line) => {
      if (!line.startsWith("{")) return line;
      const { logs = [], vertexes = [] } = JSON.parse(line) as BuildStatus;
      return [
        ...vertexes.flatMap(({ name, error }) => (error ? `${name}: ${error}` : [])),
        ...logs.map(({ data }) => Buffer.from(data, "base64").toString().trimEnd()),
      ];
    })
    .join("\n");

/** Runs an image to its end; what it said when it ended well. */
export async function output(engine: Engine, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await engine.corten("run", "--rm", ...argv);
  if (code !== 0) throw new Error(`run ${argv.join(" ")} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** Starts an image with its port published, asks, and removes it; `path` and the answer's status, headers and text. */
export async function ask(
  engine: Engine,
  image: string,
  port: number,
  paths: string[],
  check?: (container: string) => Promise<void>,
): Promise<Array<{ status: number; headers: Headers; text: string }>> {
  const started = await engine.corten("run", "-d", "-p", `127.0.0.1::${port}`, image);
  const container = started.stdout.trim();
  if (started.code !== 0) throw new Error(`run ${image}: ${started.stderr}`);
  try {
    const published = (await engine.corten("port", container, `${port}/tcp`)).stdout.trim();
    const get = async (path: string) => {
      const response = await fetch(`http://${published}${path}`, { signal: AbortSignal.timeout(60_000) });
      return { status: response.status, headers: response.headers, text: await response.text() };
    };
    await until(`${image} to answer`, () => get(paths[0]!).catch(() => undefined));
    const answers = await Promise.all(paths.map(get));
    await check?.(container);
    return answers;
  } finally {
    await engine.corten("rm", "-f", container);
  }
}

export const succeeded = ({ code, stdout, stderr }: Output): string => {
  if (code !== 0) throw new Error(`ended with ${code}: ${stdout}${stderr}`);
  return stdout;
};
