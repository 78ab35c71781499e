import { writeFileSync } from "node:fs";
import { constants } from "node:os";
import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import {
  type ContainerdClient,
  fromDescriptor,
  packOptions,
  packSpec,
  unpack,
  unpackSpec,
  withLease,
} from "../../containerd/client/index.ts";
import { readInside } from "../../runc/compile/environment.ts";
import { plainMount, withMounts } from "../../sys/mount.ts";
import { type Flags, parseFlags } from "./flags.ts";
import { pair } from "./images.ts";
import { FifoSet } from "./io.ts";
import { makeSpec, specFlags } from "./spec.ts";
import { followTerminal } from "./terminal.ts";
import { resolveUser } from "./user.ts";

export const defaultFifos = "/run/corten/fifo";

const runtimeFlags = {
  runtime: "string",
  "runc-binary": "string",
  "runc-root": "string",
  "runc-systemd-cgroup": "boolean",
  snapshotter: "string",
  "no-pivot": "boolean",
} as const;

/** `ctr run [flags] IMAGE ID [COMMAND] [ARG…]` */
export async function run(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, {
    rm: "boolean",
    "detach,d": "boolean",
    "null-io": "boolean",
    "log-uri": "string",
    "fifo-dir": "string",
    "pid-file": "string",
    ...specFlags,
    ...runtimeFlags,
  });
  const [ref, id, ...args] = flags.args;
  if (!ref) throw invalid("image ref must be provided");
  if (!id) throw invalid("container id must be provided");
  const detach = flags.is("detach");
  if (flags.is("rm") && detach) throw invalid("flags --detach and --rm cannot be specified together");
  await makeContainer(client, flags, ref, id, args);
  try {
    return await runTask(client, id, {
      terminal: flags.is("tty"),
      detach,
      nullIo: flags.is("null-io"),
      logUri: flags.get("log-uri"),
      fifoDir: flags.get("fifo-dir") ?? defaultFifos,
      pidFile: flags.get("pid-file"),
      noPivot: flags.is("no-pivot"),
    });
  } finally {
    if (flags.is("rm")) await removeContainer(client, id).catch(report);
  }
}

/** `ctr containers create [flags] IMAGE ID [COMMAND] [ARG…]` */
export async function createContainer(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { ...specFlags, ...runtimeFlags });
  const [ref, id, ...args] = flags.args;
  if (!ref) throw invalid("image ref must be provided");
  if (!id) throw invalid("container id must be provided");
  await makeContainer(client, flags, ref, id, args);
  return 0;
}

async function makeContainer(
  client: ContainerdClient,
  flags: Flags,
  ref: string,
  id: string,
  args: string[],
): Promise<void> {
  const snapshotter = flags.get("snapshotter") ?? "overlayfs";
  await withLease(client, async (leased) => {
    const { image } = await leased.images.get({ name: ref });
    const content = await unpack(leased, fromDescriptor(image?.target), { snapshotter });
    const parent = content.chainIds.at(-1) ?? "";
    const { mounts } = await leased.snapshots.prepare({ snapshotter, key: id, parent });
    try {
      // Names of users are the image's own.
      const accounts = await withMounts(mounts.map(plainMount), (root) => ({
        passwd: readInside(root, "etc/passwd") ?? "",
        group: readInside(root, "etc/group") ?? "",
      }));
      const spec = makeSpec(flags, client.namespace, id, content.config, args, (user) =>
        resolveUser(user, accounts),
      );
      const options = packOptions({
        binaryName: flags.get("runc-binary") ?? "",
        root: flags.get("runc-root") ?? "",
        systemdCgroup: flags.is("runc-systemd-cgroup"),
      });
      const stop = content.config.config?.StopSignal ?? "SIGTERM";
      await leased.containers.create({
        container: {
          id,
          image: ref,
          labels: {
            ...content.config.config?.Labels,
            ...Object.fromEntries(flags.list("label").map(pair)),
            "io.containerd.image.config.stop-signal": stop,
          },
          snapshotter,
          snapshotKey: id,
          runtime: { name: flags.get("runtime") ?? "io.containerd.runc.v2", options },
          spec: packSpec(spec),
        },
      });
    } catch (error) {
      await leased.snapshots.remove({ snapshotter, key: id }).catch(report);
      throw error;
    }
  });
}

interface TaskSettings {
  terminal: boolean;
  detach: boolean;
  nullIo: boolean;
  logUri: string | undefined;
  fifoDir: string;
  pidFile: string | undefined;
  noPivot?: boolean;
}

/** Makes the container's task, starts it and, unless detached, waits for it and removes it. */
export async function runTask(client: ContainerdClient, id: string, settings: TaskSettings): Promise<number> {
  const { container } = await client.containers.get({ id });
  if (!container) throw invalid(`container ${id} is empty`);
  const { snapshotter, snapshotKey } = container;
  const rootfs = snapshotKey ? (await client.snapshots.mounts({ snapshotter, key: snapshotKey })).mounts : [];
  const { terminal, detach } = settings;
  // Detached, nobody would read the FIFOs, and the task would block when they are full.
  const quiet = settings.nullIo || settings.logUri !== undefined || detach;
  using fifos = quiet ? undefined : new FifoSet(settings.fifoDir, id, terminal);
  const output = settings.logUri ?? fifos?.stdout ?? "";
  const { pid } = await client.tasks.create({
    containerId: id,
    rootfs,
    terminal,
    stdin: fifos?.stdin ?? "",
    stdout: output,
    stderr: settings.logUri ?? fifos?.stderr ?? "",
    ...(settings.noPivot ? { options: packOptions({ noPivotRoot: true }) } : {}),
  });
  try {
    const waiting = detach ? undefined : client.tasks.wait({ containerId: id });
    waiting?.catch(() => {});
    if (settings.pidFile) writeFileSync(settings.pidFile, String(pid));
    fifos?.copy(() => void client.tasks.closeIO({ containerId: id, stdin: true }).catch(() => {}));
    using _terminal = terminal && !detach ? followTerminal(client, id, "") : undefined;
    using _signals = terminal || detach ? undefined : forwardSignals(client, id, "");
    await client.tasks.start({ containerId: id });
    if (!waiting) return 0;
    const { exitStatus } = await waiting;
    await fifos?.drained();
    await client.tasks.delete({ containerId: id });
    return exitStatus;
  } catch (error) {
    await client.tasks.kill({ containerId: id, signal: 9, all: true }).catch(() => {});
    await client.tasks.delete({ containerId: id }).catch(() => {});
    throw error;
  }
}

/** `ctr tasks exec --exec-id E [-t] [--cwd D] [--user U] [-d] ID COMMAND [ARG…]` */
export async function execTask(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, {
    "exec-id": "string",
    "tty,t": "boolean",
    "detach,d": "boolean",
    cwd: "string",
    user: "string",
    "fifo-dir": "string",
    "log-uri": "string",
  });
  const [id, ...args] = flags.args;
  const execId = flags.get("exec-id");
  if (!id) throw invalid("container id must be provided");
  if (!execId) throw invalid("exec id must be provided");
  if (args.length === 0) throw invalid("no command to execute");
  const { container } = await client.containers.get({ id });
  const base = unpackSpec(container?.spec).process;
  if (!base) throw invalid(`container ${id} has no process to take defaults from`);
  const terminal = flags.is("tty");
  const user = flags.get("user");
  const process = {
    ...base,
    args,
    terminal,
    ...(flags.get("cwd") ? { cwd: flags.get("cwd")! } : {}),
    ...(user ? { user: resolveUser(user, { passwd: "", group: "" }) } : {}),
  };
  const { packProcess } = await import("../../containerd/client/index.ts");
  const logUri = flags.get("log-uri");
  const quiet = logUri !== undefined || flags.is("detach");
  using fifos = quiet ? undefined : new FifoSet(flags.get("fifo-dir") ?? defaultFifos, execId, terminal);
  const key = { containerId: id, execId };
  await client.tasks.exec({
    ...key,
    spec: packProcess(process),
    terminal,
    stdin: fifos?.stdin ?? "",
    stdout: logUri ?? fifos?.stdout ?? "",
    stderr: logUri ?? fifos?.stderr ?? "",
  });
  try {
    const waiting = client.tasks.wait(key);
    waiting.catch(() => {});
    using _signals = terminal || flags.is("detach") ? undefined : forwardSignals(client, id, execId);
    await client.tasks.start(key);
    fifos?.copy(() => void client.tasks.closeIO({ ...key, stdin: true }).catch(() => {}));
    using _terminal = terminal ? followTerminal(client, id, execId) : undefined;
    if (flags.is("detach")) return 0;
    const { exitStatus } = await waiting;
    await fifos?.drained();
    return exitStatus;
  } finally {
    if (!flags.is("detach")) await client.tasks.deleteProcess(key).catch(() => {});
  }
}

/** Signals we get are the task's. */
function forwardSignals(client: ContainerdClient, containerId: string, execId: string): Disposable {
  const names = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
  const handlers = names.map((name) => {
    const handler = () => {
      const signal = constants.signals[name];
      client.tasks.kill({ containerId, execId, signal }).catch(report);
    };
    process.on(name, handler);
    return { name, handler };
  });
  return {
    [Symbol.dispose]() {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}

/** Removes a container's record and snapshot; its task must be gone. */
export async function removeContainer(
  client: ContainerdClient,
  id: string,
  keepSnapshot = false,
): Promise<void> {
  const { container } = await client.containers.get({ id });
  try {
    const { process } = await client.tasks.get({ containerId: id });
    if (process)
      throw new CortenError("failed_precondition", `cannot delete a non stopped container: ${process.id}`);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
  // The snapshot first: without its container the collector may be faster than we are.
  if (container?.snapshotKey && !keepSnapshot) {
    const { snapshotter, snapshotKey: key } = container;
    await client.snapshots.remove({ snapshotter, key }).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
  }
  await client.containers.delete({ id });
}

const report = (error: unknown) => void process.stderr.write(`ctr: ${messageOf(error)}\n`);
