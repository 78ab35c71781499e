/** A build on a daemon that is not ours: the classic `POST /build`, with the context as a tar. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonLines } from "../../engine/client.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { showProgress } from "../streams/progress.ts";
import { packDirectory, packFiles } from "./archive.ts";
import type { BuildSource } from "./context.ts";
import { buildProblem, pairsOf } from "./csv.ts";
import type { BuildValues } from "./flags.ts";
import { buildArguments, resourcesOf } from "./request.ts";

/** What only our own daemon, or BuildKit, can do. */
const modern = [
  "secret",
  "ssh",
  "build-context",
  "output",
  "cache-to",
  "attest",
  "annotation",
  "allow",
] as const;

export async function buildClassic(
  cli: Cli,
  values: BuildValues,
  source: BuildSource,
  headers: Record<string, string>,
): Promise<number> {
  const { context } = source;
  const name = cli.daemon().name;
  for (const flag of modern)
    if (values[flag].length > 0)
      throw buildProblem(`the daemon at ${name} is not Corten's: --${flag} needs one`);
  for (const flag of ["push", "check"] as const)
    if (values[flag]) throw buildProblem(`the daemon at ${name} is not Corten's: --${flag} needs one`);
  if (context.kind === "remote" && source.dockerfile)
    throw buildProblem(
      `the daemon at ${name} is not Corten's: a Dockerfile from elsewhere needs one with a remote context`,
    );
  const client = await cli.client();
  // Until now nobody had to know what this daemon speaks.
  await client.negotiate();
  await using files = new TemporaryFiles();
  const { body, dockerfile } = await contextOf(source, files);
  const json = (value: object) => (Object.keys(value).length === 0 ? undefined : JSON.stringify(value));
  const resources = resourcesOf(values);
  const answer = await client.transport.call("POST", "/build", {
    query: {
      t: values.tag,
      dockerfile,
      remote: context.kind === "remote" ? context.url : undefined,
      buildargs: json(buildArguments(cli, values["build-arg"], client.transport.hostName)),
      labels: json(Object.fromEntries(values.label.map((one) => one.split(/=(.*)/s).slice(0, 2)))),
      cachefrom:
        values["cache-from"].length === 0 ? undefined : JSON.stringify(values["cache-from"].map(imageOf)),
      target: values.target || undefined,
      platform: values.platform.join(",") || undefined,
      networkmode: values.network,
      nocache: values["no-cache"] || undefined,
      pull: values.pull || undefined,
      extrahosts: values["add-host"],
      shmsize: values["shm-size"] || undefined,
      ulimits: json(Object.values(values.ulimit)),
      cgroupparent: values["cgroup-parent"] || undefined,
      memory: resources.memory,
      memswap: resources.memorySwap,
      cpushares: resources.cpuShares,
      cpuperiod: resources.cpuPeriod,
      cpuquota: resources.cpuQuota,
      cpusetcpus: resources.cpusetCpus,
      cpusetmems: resources.cpusetMems,
      squash: values.squash || undefined,
      rm: values.rm,
      forcerm: values["force-rm"] || undefined,
      version: 1,
    },
    headers: { ...headers, "Content-Type": "application/x-tar" },
    ...(body ? { body } : {}),
  });
  let id = "";
  const shown = values.progress === "quiet" ? undefined : cli.out;
  await showProgress(jsonLines<ProgressMessage>(answer.body), shown, (aux) => {
    id = (aux as { ID?: string }).ID ?? id;
  });
  if (values.quiet && id !== "") cli.out.line(id);
  if (values.iidfile !== "" && id !== "") writeFileSync(values.iidfile, id);
  return 0;
}

/** The classic builder knows caches by images only. */
function imageOf(text: string): string {
  if (!text.includes("=")) return text;
  const { type, ref } = Object.fromEntries(pairsOf(text));
  if (type !== "registry" || !ref) throw buildProblem(`the daemon's builder has no cache of type ${type}`);
  return ref;
}

/** What the daemon gets as its context, and the Dockerfile's path in it. A Dockerfile from elsewhere is put there. */
async function contextOf(
  { context, filename, dockerfile, dockerfileDirectory }: BuildSource,
  files: TemporaryFiles,
): Promise<{ body?: AsyncIterable<Uint8Array>; dockerfile?: string }> {
  const named = filename === undefined ? {} : { dockerfile: filename };
  if (context.kind === "remote") return named;
  if (context.kind === "archive") return { body: context.bytes, ...named };
  if (context.kind === "dockerfile")
    return { body: packFiles(await files.add("Dockerfile", context.text), ["Dockerfile"]) };
  const elsewhere =
    dockerfile ??
    (dockerfileDirectory && readDockerfile(join(dockerfileDirectory, filename ?? "Dockerfile")));
  if (!elsewhere)
    return { body: packDirectory(context.path, { dockerfile: filename ?? "Dockerfile" }), ...named };
  const name = `.dockerfile.${randomBytes(10).toString("hex")}`;
  const extra = { directory: await files.add(name, elsewhere), name };
  return { body: packDirectory(context.path, { extra }), dockerfile: name };
}

function readDockerfile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw buildProblem(
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${path}: no such file or directory`,
    );
  }
}

/** Directories of one file each, gone in the end. */
class TemporaryFiles implements AsyncDisposable {
  readonly #directories: string[] = [];

  /** Gives the directory. */
  async add(name: string, content: Uint8Array): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), "corten-build-"));
    this.#directories.push(directory);
    await writeFile(join(directory, name), content, { mode: 0o600 });
    return directory;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of this.#directories) await rm(directory, { recursive: true, force: true });
  }
}
