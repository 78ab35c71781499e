import { existsSync, statSync } from "node:fs";
import { basename, dirname, posix, resolve } from "node:path";
import { isCode } from "../../../base/errors.ts";
import type { EngineClient } from "../../../engine/client.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool } from "../../flags/flag.ts";

/** Go's os.ModeDir. */
const modeDirectory = 2 ** 31;

export default defineCommand({
  usage: "CONTAINER:SRC_PATH DEST_PATH|-\n\tcorten cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  long: `Copy files between a container and this machine

With '-' a tar archive is read from stdin or written to stdout.`,
  arguments: { min: 2, max: 2 },
  flags: {
    archive: bool("a", "Keep uid and gid"),
    "follow-link": bool("L", "Follow a link that is the source"),
    quiet: bool("q", "Say nothing"),
  },
  async run({ cli, args, values }) {
    const [source, target] = args.map(splitPath) as [Place, Place];
    if (source.container !== undefined && target.container !== undefined)
      throw new StatusError(1, "copying between containers is not supported");
    const client = await cli.client();
    if (source.container !== undefined)
      await fromContainer(cli, client, source.container, source.path, target.path);
    else if (target.container !== undefined)
      await toContainer(client, source.path, target.container, target.path, values);
    else throw new StatusError(1, "must specify at least one container source");
    if (!values.quiet && target.path !== "-")
      cli.err.line(
        `Successfully copied to ${target.container === undefined ? target.path : `${target.container}:${target.path}`}`,
      );
  },
});

interface Place {
  container?: string;
  path: string;
}

/** `container:path`; a path that begins with `/` or `.` is local whatever follows. */
function splitPath(text: string): Place {
  const colon = text.indexOf(":");
  if (colon <= 0 || /^[/.]/.test(text)) return { path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

async function fromContainer(
  cli: Cli,
  client: EngineClient,
  container: string,
  path: string,
  target: string,
): Promise<void> {
  const { stat, tar } = await client.containers.readArchive(container, path);
  if (target === "-") {
    for await (const chunk of tar) await cli.out.pour(chunk);
    return;
  }
  const isDirectory = stat.mode >= modeDirectory;
  const contentsOnly = path.endsWith("/.");
  const exists = existsSync(target) && statSync(target).isDirectory();
  if (!existsSync(dirname(resolve(target))))
    throw new StatusError(
      1,
      `invalid output path: directory ${JSON.stringify(dirname(resolve(target)))} does not exist`,
    );
  if (!exists && target.endsWith("/") && !isDirectory)
    throw new StatusError(1, "destination directory must exist");
  const into = exists && !contentsOnly ? target : dirname(resolve(target));
  const name = exists && !contentsOnly ? stat.name : basename(resolve(target));
  await extract(["-x", "-f", "-", "-C", into, "--no-same-owner", ...renamed(stat.name, name)], tar);
}

async function toContainer(
  client: EngineClient,
  source: string,
  container: string,
  path: string,
  values: { archive: boolean; "follow-link": boolean },
): Promise<void> {
  const options = { copyUidGid: values.archive };
  if (source === "-") {
    await client.containers.writeArchive(
      container,
      path,
      Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>,
      options,
    );
    return;
  }
  if (!existsSync(source)) throw new StatusError(1, `lstat ${resolve(source)}: no such file or directory`);
  const contentsOnly = source.endsWith("/.");
  const targetStat = await client.containers.statPath(container, path).catch((error) => {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  });
  const targetIsDirectory = targetStat !== undefined && targetStat.mode >= modeDirectory;
  const full = resolve(source);
  const into = targetIsDirectory ? path : posix.dirname(path);
  const name = targetIsDirectory ? basename(full) : posix.basename(path);
  const follow = values["follow-link"] ? ["-h"] : [];
  const what =
    targetIsDirectory && contentsOnly
      ? ["-C", full, "."]
      : ["-C", dirname(full), ...renamed(basename(full), name), basename(full)];
  // Bun's own spawn: through `node:child_process` Bun loses output that came before it was read.
  const child = Bun.spawn(["tar", "-c", "-f", "-", ...follow, ...what], {
    stdout: "pipe",
    stderr: "inherit",
  });
  await client.containers.writeArchive(container, into, child.stdout as AsyncIterable<Uint8Array>, options);
  await checkTar(child);
}

/** Changes the first component of the names in an archive. */
function renamed(from: string, to: string): string[] {
  if (from === to) return [];
  const plain = (text: string) => text.replace(/[\\,.*[\]^$&]/g, "\\$&");
  return [`--transform=flags=r;s,^${plain(from)}\\($\\|/\\),${plain(to)}\\1,`];
}

async function extract(args: string[], tar: AsyncIterable<Uint8Array>): Promise<void> {
  const child = Bun.spawn(["tar", ...args], { stdin: "pipe", stdout: "ignore", stderr: "inherit" });
  try {
    for await (const chunk of tar) {
      child.stdin.write(chunk);
      await child.stdin.flush();
    }
  } finally {
    await child.stdin.end();
  }
  await checkTar(child);
}

async function checkTar(child: Bun.Subprocess): Promise<void> {
  const code = await child.exited;
  if (code !== 0) throw new StatusError(1, `tar ended with exit status ${code}`);
}
