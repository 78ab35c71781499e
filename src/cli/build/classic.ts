/** A build on a daemon that is not ours: the classic `POST /build`, with the context as a tar. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonLines } from "../../engine/client.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";
import { showProgress } from "../streams/progress.ts";
import { packDirectory } from "./archive.ts";
import type { BuildSource } from "./context.ts";
import type { BuildValues } from "./flags.ts";
import { buildArguments } from "./request.ts";

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
  for (const name of modern)
    if (values[name].length > 0)
      throw new StatusError(
        1,
        `the daemon at ${(await cli.daemon()).name} is not Corten's: --${name} needs one`,
      );
  if (context.kind === "dockerfile" || source.dockerfile || source.dockerfileDirectory)
    throw new StatusError(
      1,
      `the daemon at ${(await cli.daemon()).name} is not Corten's: the Dockerfile must be in the context`,
    );
  const client = await cli.client();
  const body =
    context.kind === "directory"
      ? packDirectory(context.path, {
          ignoreFile: join(context.path, ".dockerignore"),
          keep: [source.filename ?? "Dockerfile"],
        })
      : context.kind === "archive"
        ? context.bytes
        : undefined;
  const json = (value: object) => (Object.keys(value).length === 0 ? undefined : JSON.stringify(value));
  const answer = await client.transport.call("POST", "/build", {
    query: {
      t: values.tag,
      dockerfile: source.filename,
      remote: context.kind === "remote" ? context.url : undefined,
      buildargs: json(buildArguments(cli, values["build-arg"], client.transport.hostName)),
      labels: json(Object.fromEntries(values.label.map((one) => one.split(/=(.*)/s).slice(0, 2)))),
      cachefrom: values["cache-from"].length === 0 ? undefined : JSON.stringify(values["cache-from"]),
      target: values.target || undefined,
      platform: values.platform.join(",") || undefined,
      networkmode: values.network,
      nocache: values["no-cache"] || undefined,
      pull: values.pull || undefined,
      extrahosts: values["add-host"],
      shmsize: values["shm-size"] || undefined,
      ulimits: json(Object.values(values.ulimit)),
      cgroupparent: values["cgroup-parent"] || undefined,
      memory: values.memory || undefined,
      memswap: values["memory-swap"] || undefined,
      cpushares: values["cpu-shares"] || undefined,
      cpuperiod: values["cpu-period"] || undefined,
      cpuquota: values["cpu-quota"] || undefined,
      cpusetcpus: values["cpuset-cpus"] || undefined,
      cpusetmems: values["cpuset-mems"] || undefined,
      squash: values.squash || undefined,
      rm: values.rm,
      forcerm: values["force-rm"] || undefined,
      version: 1,
    },
    headers: { ...headers, "Content-Type": "application/x-tar" },
    ...(body ? { body } : {}),
  });
  let id = "";
  await showProgress(jsonLines<ProgressMessage>(answer.body), values.quiet ? undefined : cli.out, (aux) => {
    id = (aux as { ID?: string }).ID ?? id;
  });
  if (values.quiet && id !== "") cli.out.line(id);
  if (values.iidfile !== "" && id !== "") writeFileSync(values.iidfile, id);
  return 0;
}
