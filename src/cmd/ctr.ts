/** `corten ctr`: containerd's debugging client, with the flags and columns of ctr 1.6, for any containerd. */
import packageFile from "../../package.json";
import { invalid, messageOf } from "../base/errors.ts";
import type { ContainerdClient } from "../containerd/client/index.ts";
import { parseFlags } from "./ctr/flags.ts";

const usage = `Usage: ctr [--address SOCKET] [--namespace NAME] [--timeout D] COMMAND

  version                      versions of client and server
  namespaces  ls create label rm
  images      pull ls rm
  content     ls
  snapshots   [--snapshotter NAME] ls
  containers  ls info create rm
  tasks       ls start exec kill rm pause resume
  run         [--rm] [-d] [-t] IMAGE ID [COMMAND] [ARG...]
  events      [FILTER...]
`;

type Verb = (client: ContainerdClient, argv: string[]) => Promise<number>;

const aliases: Record<string, string> = {
  namespace: "namespaces",
  ns: "namespaces",
  image: "images",
  i: "images",
  container: "containers",
  c: "containers",
  task: "tasks",
  t: "tasks",
  snapshot: "snapshots",
  event: "events",
  r: "run",
  list: "ls",
  del: "rm",
  delete: "rm",
  remove: "rm",
};

const groups = new Set(["namespaces", "images", "content", "snapshots", "containers", "tasks"]);

/** The verb's code, loaded when it is asked for. */
async function find(words: string, snapshotter: string): Promise<Verb | undefined> {
  const lists = () => import("./ctr/lists.ts");
  const tasks = () => import("./ctr/tasks.ts");
  const verbs: Record<string, () => Promise<Verb>> = {
    version: async () => showVersion,
    "namespaces ls": async () => (await lists()).listNamespaces,
    "namespaces create": async () => (await lists()).createNamespace,
    "namespaces label": async () => (await lists()).labelNamespace,
    "namespaces rm": async () => (await lists()).removeNamespaces,
    "images pull": async () => (await import("./ctr/images.ts")).pullImage,
    "images ls": async () => (await import("./ctr/images.ts")).listImages,
    "images rm": async () => (await import("./ctr/images.ts")).removeImages,
    "content ls": async () => (await lists()).listContent,
    "snapshots ls": async () => {
      const { listSnapshots } = await lists();
      return (client, argv) => listSnapshots(client, argv, snapshotter);
    },
    "containers ls": async () => (await lists()).listContainers,
    "containers info": async () => (await lists()).showContainer,
    "containers create": async () => (await import("./ctr/run.ts")).createContainer,
    "containers rm": async () => (await tasks()).removeContainers,
    "tasks ls": async () => (await lists()).listTasks,
    "tasks start": async () => (await tasks()).startTask,
    "tasks exec": async () => (await import("./ctr/run.ts")).execTask,
    "tasks kill": async () => (await tasks()).killTask,
    "tasks rm": async () => (await tasks()).removeTasks,
    "tasks pause": async () => (await tasks()).pauseTask,
    "tasks resume": async () => (await tasks()).resumeTask,
    run: async () => (await import("./ctr/run.ts")).run,
    events: async () => (await lists()).showEvents,
  };
  return verbs[words]?.();
}

async function showVersion(client: ContainerdClient): Promise<number> {
  process.stdout.write(`Client:\n  Version:  ${packageFile.version}\n  Revision: corten\n\n`);
  const { version, revision } = await client.version.version({});
  const { uuid } = await client.introspection.server({});
  process.stdout.write(`Server:\n  Version:  ${version}\n  Revision: ${revision}\n  UUID: ${uuid}\n`);
  return 0;
}

export async function main(argv: string[]): Promise<number> {
  try {
    const flags = parseFlags(argv, {
      "address,a": "string",
      "namespace,n": "string",
      timeout: "string",
      "connect-timeout": "string",
      debug: "boolean",
      "help,h": "boolean",
    });
    let [group = "", ...rest] = flags.args;
    group = aliases[group] ?? group;
    if (flags.is("help") || group === "" || group === "help") {
      process.stdout.write(usage);
      return group === "" && !flags.is("help") ? 1 : 0;
    }
    let snapshotter = "overlayfs";
    let words = group;
    if (groups.has(group)) {
      const inner = parseFlags(rest, { snapshotter: "string" });
      snapshotter = inner.get("snapshotter") ?? snapshotter;
      const [verb = "", ...more] = inner.args;
      words = `${group} ${aliases[verb] ?? verb}`;
      rest = more;
    }
    const verb = await find(words, snapshotter);
    if (!verb) throw invalid(`no such command: ${words}\n${usage}`);
    const address =
      flags.get("address") ?? process.env["CONTAINERD_ADDRESS"] ?? "/run/corten/containerd/containerd.sock";
    const namespace = flags.get("namespace") ?? process.env["CONTAINERD_NAMESPACE"] ?? "default";
    const { connectContainerd } = await import("../containerd/client/index.ts");
    const client = await connectContainerd(address.replace(/^unix:\/\//, ""), namespace);
    try {
      return await verb(client, rest);
    } finally {
      client.close();
    }
  } catch (error) {
    process.stderr.write(`ctr: ${messageOf(error)}\n`);
    return 1;
  }
}
