import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError, messageOf, unimplemented } from "../../base/errors.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { encodeSpec } from "../../oci/spec-text.ts";
import { statsOfProcess } from "../stats.ts";
import type { Launched, MonitorPlace, OciRuntime, RuntimeChoice } from "../types.ts";
import { checkpointByCommand, restoreByCommand } from "./checkpoint.ts";
import { globalsOf, runCommand } from "./command.ts";
import { kindOf, tooOld } from "./kind.ts";
import { launchBelow, temporaryDirectory } from "./launch.ts";
import { oomWatch } from "./oom.ts";

/** Another OCI runtime by runc's command line, which crun, runsc and Kata's all have. */
export function foreignRuntime(choice: RuntimeChoice, binary: string): OciRuntime {
  mkdirSync(choice.root, { recursive: true, mode: 0o711 });
  const globals = globalsOf(choice);
  const run = (args: string[]) => runCommand([binary, ...globals, ...args]);

  /** Starts `create` or `exec` below a monitor, which adopts the container's process. */
  const launch = (monitor: MonitorPlace, verb: string[], id: string, work: string): Promise<Launched> =>
    launchBelow({ command: [binary, ...globals], verb, id, work, monitor }, async (logged, error) => {
      const old = tooOld(await kindOf(binary));
      const text = logged ?? `${binary}: ${messageOf(error)}`;
      return new CortenError("unknown", old ? `${text} (${old})` : text, { cause: error });
    });

  return {
    async create({ id, bundle, spec, monitor }) {
      const oom = await oomWatch(spec, id, choice.systemdCgroup);
      await standAlone(binary, bundle, spec);
      return launch(
        { ...monitor, ...(oom ? { oom } : {}) },
        [
          "create",
          "--bundle",
          bundle,
          ...(choice.noPivotRoot ? ["--no-pivot"] : []),
          ...(choice.noNewKeyring ? ["--no-new-keyring"] : []),
        ],
        id,
        bundle,
      );
    },
    async start(id) {
      await run(["start", id]);
    },
    async exec({ id, process, monitor }) {
      const work = join(monitor.dir, "runtime");
      mkdirSync(work, { recursive: true, mode: 0o700 });
      const file = join(work, "process.json");
      writeFileSync(file, JSON.stringify(process), { mode: 0o600 });
      return launch(monitor, ["exec", "--process", file, "--detach"], id, work);
    },
    async kill(id, signal, all) {
      await run(["kill", ...(all ? ["--all"] : []), id, String(signal)]);
    },
    async remove(id, force) {
      await run(["delete", ...(force ? ["--force"] : []), id]);
    },
    async pause(id) {
      await run(["pause", id]);
    },
    async resume(id) {
      await run(["resume", id]);
    },
    async update(id, resources) {
      // Not through stdin: ours would be a socket, and crun opens /dev/stdin, which a socket cannot be.
      using work = temporaryDirectory();
      const file = join(work.path, "resources.json");
      writeFileSync(file, JSON.stringify(resources), { mode: 0o600 });
      await run(["update", "--resources", file, id]);
    },
    async status(id) {
      return (JSON.parse(await run(["state", id])) as { status?: string }).status ?? "";
    },
    async isPaused(id) {
      return (await this.status(id)) === "paused";
    },
    async processes(id) {
      return JSON.parse(await run(["ps", "--format", "json", id])) as number[];
    },
    stats: async (_id, pid) => statsOfProcess(pid),
    async checkpoint(request) {
      await refuseOwnCheckpoints(binary);
      await checkpointByCommand([binary], choice, request);
    },
    async restore(request) {
      await refuseOwnCheckpoints(binary);
      const oom = await oomWatch(request.spec, request.id, choice.systemdCgroup);
      const monitor = { ...request.monitor, ...(oom ? { oom } : {}) };
      return restoreByCommand([binary], choice, { ...request, monitor });
    },
  };
}

/**
 * gVisor saves a container without CRIU, and lets it go on by restoring it as a child of the very command, which has to stay:
 * such a container would have no monitor.
 */
async function refuseOwnCheckpoints(binary: string): Promise<void> {
  if ((await kindOf(binary)).name === "runsc")
    throw unimplemented(`${binary}: gVisor's checkpoints are its own, not CRIU's: not implemented`);
}

const containerType = "io.kubernetes.cri.container-type";

/**
 * gVisor puts a pod's containers into the sandbox of the pod when their annotations say that they are some; they have no
 * process of their own then, and only gVisor's shim can follow them. By its command line each is a sandbox by itself.
 */
async function standAlone(binary: string, bundle: string, spec: Spec): Promise<void> {
  if (spec.annotations?.[containerType] !== "container") return;
  if ((await kindOf(binary)).name !== "runsc") return;
  const { [containerType]: _, ...annotations } = spec.annotations;
  writeFileSync(join(bundle, "config.json"), encodeSpec({ ...spec, annotations }), { mode: 0o600 });
}
