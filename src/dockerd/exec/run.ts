import { mkdirSync } from "node:fs";
import { resolveUser } from "../../base/accounts.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { packProcess } from "../../containerd/client/typeurl.ts";
import type { Attachment } from "../../monitor/index.ts";
import type { Process } from "../../oci/runtime-spec.ts";
import { ensureProfile, profileOf } from "../container/apparmor.ts";
import type { Container } from "../container/container.ts";
import { containerEvent } from "../container/events.ts";
import { withFilesystem } from "../container/filesystem.ts";
import { execDirectory } from "../container/paths.ts";
import { withLinks } from "../container/spec-input.ts";
import { abandonStdio, makeStdio } from "../container/stdio.ts";
import type { Daemon } from "../daemon.ts";
import { environmentOf, mergeEnvironment } from "../spec/build.ts";
import { capabilitiesOf } from "../spec/capabilities.ts";
import { rlimitsOf } from "../spec/resources.ts";
import { parseSecurityOptions } from "../spec/security.ts";
import type { Exec } from "./exec.ts";

const accountsLimit = 4 << 20;

/** Starts the process of an exec; `attached` gives its streams before it can write more than its pipe holds. */
export async function runExec(
  daemon: Daemon,
  container: Container,
  exec: Exec,
  options: { attach: boolean; consoleSize?: [number, number] },
): Promise<Attachment | undefined> {
  const { config } = exec;
  const client = daemon.containerd;
  const process = await processOf(daemon, container, exec);
  const size = options.consoleSize ?? config.consoleSize;
  if (config.tty && size && size[0] > 0) process.consoleSize = { height: size[0], width: size[1] };
  const dir = execDirectory(daemon, container.id, exec.id);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stdio = await makeStdio(daemon, {
    dir,
    terminal: config.tty,
    stdin: config.stdin,
    hold: options.attach,
  });
  const early = stdio.monitor && options.attach ? await stdio.monitor.attach(config) : undefined;
  const ids = { containerId: container.id, execId: exec.id };
  try {
    await client.tasks.exec({ ...ids, ...stdio.paths, terminal: config.tty, spec: packProcess(process) });
    const waiting = client.tasks.wait(ids);
    waiting.catch(() => {});
    const { pid } = await client.tasks.start(ids);
    exec.pid = pid;
    exec.running = true;
    containerEvent(daemon, container, `exec_start: ${config.cmd.join(" ")}`, { execID: exec.id });
    const attachment = early ?? (options.attach ? await daemon.monitors.attach(dir, config) : undefined);
    void waiting
      .then(
        ({ exitStatus }) => exitStatus,
        (error) => {
          log.warn("lost an exec", { id: exec.id, error: messageOf(error) });
          return 137;
        },
      )
      .then(async (exitCode) => {
        exec.finish(exitCode);
        containerEvent(daemon, container, "exec_die", { execID: exec.id, exitCode: String(exitCode) });
        await client.tasks.deleteProcess(ids).catch(() => {});
        daemon.removal.exec.discard(dir);
      });
    return attachment;
  } catch (error) {
    await client.tasks.deleteProcess(ids).catch(() => {});
    early?.close();
    abandonStdio(stdio);
    daemon.removal.exec.discard(dir);
    throw error;
  }
}

/** The process as Docker derives it from the container's: its own user and environment, the container's limits. */
async function processOf(daemon: Daemon, container: Container, exec: Exec): Promise<Process> {
  const { record } = container;
  const { config, host } = record;
  const privileged = exec.config.privileged || host.Privileged;
  const capabilities = capabilitiesOf(
    { privileged, add: host.CapAdd ?? [], drop: host.CapDrop ?? [] },
    daemon.facts.capabilities,
  );
  const security = parseSecurityOptions(host.SecurityOpt ?? [], {
    noNewPrivileges: daemon.config.noNewPrivileges,
  });
  const accounts = await withFilesystem(daemon, container, (tree) => ({
    passwd: tree.readText("/etc/passwd", accountsLimit) ?? "",
    group: tree.readText("/etc/group", accountsLimit) ?? "",
  }));
  const user = resolveUser(
    exec.config.user || config.User,
    accounts,
    exec.config.user ? [] : (host.GroupAdd ?? []),
  );
  const environment = environmentOf(
    { Env: withLinks(daemon, record).Env, Tty: exec.config.tty },
    config.Hostname,
  );
  const profile = profileOf(daemon, record);
  await ensureProfile(daemon, profile);
  const rlimits = rlimitsOf(host.Ulimits, daemon.config.defaultUlimits);
  return {
    ...(exec.config.tty ? { terminal: true } : {}),
    user,
    args: exec.config.cmd,
    env: mergeEnvironment(environment, exec.config.env),
    cwd: exec.config.workingDir || config.WorkingDir || "/",
    capabilities: {
      bounding: capabilities,
      ...(user.uid === 0 ? { effective: capabilities, permitted: capabilities } : {}),
    },
    ...(security.noNewPrivileges ? { noNewPrivileges: true } : {}),
    ...(record.processLabel ? { selinuxLabel: record.processLabel } : {}),
    ...(profile ? { apparmorProfile: profile } : {}),
    ...(rlimits.length > 0 ? { rlimits } : {}),
    oomScoreAdj: host.OomScoreAdj,
  };
}
