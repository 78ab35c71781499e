/**
 * The main job on real images, on an engine of its own: pull, run, watch, build, remove. Prints how long each step
 * took and leaves nothing behind. `make demo` runs it with dist/corten.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const corten = join(import.meta.dir, "../dist/corten");
const root = mkdtempSync(join(tmpdir(), "corten-demo-"));
const environment = { ...process.env, CORTEN_ROOT: root, DOCKER_HOST: "", DOCKER_CONTEXT: "" };
const steps: Array<{ what: string; milliseconds: number }> = [];

/** Runs one command, shows it with its output, and keeps its time. */
async function step(what: string, ...argv: string[]): Promise<string> {
  console.log(
    `\n\x1b[1m$ corten ${argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(" ")}\x1b[0m`,
  );
  const started = performance.now();
  const output = await new Promise<string>((resolve, reject) => {
    const child = spawn(corten, argv, { env: environment, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
      process.stdout.write(data);
    });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${what}: corten ${argv[0]} ended with ${code}`)),
    );
  });
  steps.push({ what, milliseconds: performance.now() - started });
  return output;
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  steps.push({ what, milliseconds: performance.now() - started });
  return result;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function fetchPage(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => {
        body += text;
      });
      response.on("end", () =>
        response.statusCode === 200
          ? resolve(body)
          : reject(new Error(`${url}: HTTP ${response.statusCode}`)),
      );
    });
    request.on("error", reject);
    request.setTimeout(5000, () => request.destroy(new Error(`${url}: no answer in 5 s`)));
  });
}

/** nginx needs a moment between its start and its listen; ask until it answers, at most 10 s. */
async function page(url: string): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fetchPage(url);
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((next) => setTimeout(next, 100));
    }
  }
}

const dockerfile = `FROM deb:busybox-static AS base
RUN echo 'visitor:x:1000:1000::/:/bin/sh' >>/etc/passwd

FROM base AS words
COPY words.txt .
RUN sort words.txt | uniq -c | sort -rn >/counted

FROM base AS page
RUN --mount=type=cache,target=/cache date >>/cache/builds && wc -l </cache/builds >/builds

FROM base
COPY --from=words /counted /srv/
COPY --from=page /builds /srv/
USER visitor
CMD ["cat", "/srv/counted"]
`;

/** A multi-stage Dockerfile: built, built again, run and removed. */
async function build(): Promise<void> {
  const context = join(root, "words");
  mkdirSync(context);
  writeFileSync(join(context, "Dockerfile"), dockerfile);
  writeFileSync(join(context, "words.txt"), "layer\ncache\nlayer\n");
  console.log(`\n${dockerfile.trimEnd()}`);
  await step("build four stages, nothing cached", "build", "-t", "words", context);
  await step("build them again", "build", "-t", "words", context);
  const counted = await step("run what was built", "run", "--rm", "words");
  if (!/^\s*2 layer\n\s*1 cache\n$/.test(counted)) throw new Error("that is not what the Dockerfile says");
  await step("remove the image", "rmi", "words");
  await step("remove the build cache", "builder", "prune", "-af");
}

async function main(): Promise<void> {
  await step(
    "pull busybox from Debian, first run",
    "run",
    "--rm",
    "deb:busybox-static",
    "sh",
    "-c",
    'echo "hello from $(hostname), pid $$"',
  );
  await step("second run", "run", "--rm", "deb:busybox-static", "echo", "hello again");
  const port = await freePort();
  await step(
    "pull nginx from Debian, start it",
    "run",
    "-d",
    "--name",
    "web",
    "-p",
    `127.0.0.1:${port}:80`,
    "deb:nginx-light",
  );
  const url = `http://127.0.0.1:${port}/`;
  const html = await timed("fetch its page through the published port", () => page(url));
  const title = html.match(/<title>(.*?)<\/title>/)?.[1];
  console.log(`\n${url} → ${title}`);
  if (!title?.includes("nginx")) throw new Error("that is not nginx's page");
  await step("exec into it", "exec", "web", "/usr/sbin/nginx", "-v");
  await step("logs", "logs", "web");
  await step("ps", "ps");
  await step("a traced run", "run", "--rm", "--trace", "deb:busybox-static", "true");
  await step("images", "images");
  await step("stop", "stop", "web");
  await step("rm", "rm", "web");
  await build();
  const left = await step("ps -a", "ps", "-aq");
  if (left.trim()) throw new Error(`containers left: ${left}`);
}

/** Ends the daemon that the first command started; it takes its bridge and rules with it. */
async function end(): Promise<void> {
  const pidFile = join(root, "run/docker.pid");
  if (existsSync(pidFile)) {
    const pid = Number(readFileSync(pidFile, "utf8"));
    process.kill(pid, "SIGTERM");
    for (let attempt = 0; attempt < 200 && alive(pid); attempt++)
      await new Promise((next) => setTimeout(next, 50));
  }
  const daemons = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && names(Number(entry), root));
  if (daemons.length > 0) {
    console.error(`the demo left processes behind: ${daemons.join(" ")}`);
    process.exitCode = 1;
  }
  rmSync(root, { recursive: true, force: true });
}

/** True for a process whose command line names the path. */
function names(pid: number, path: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(path);
  } catch {
    return false;
  }
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

try {
  await main();
  console.log("\nTimes:");
  for (const { what, milliseconds } of steps)
    console.log(`  ${milliseconds.toFixed(0).padStart(6)} ms  ${what}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (existsSync(join(root, "run/dockerd.log")))
    console.error(readFileSync(join(root, "run/dockerd.log"), "utf8").slice(-4000));
  process.exitCode = 1;
} finally {
  await end();
}
