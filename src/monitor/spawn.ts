import { closeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { deferred } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { traceparent } from "../base/trace.ts";
import { sealedMemfd } from "./binary.ts";
import { frameTypes } from "./channel.ts";
import { answerSync } from "./direct.ts";
import { encodeOperations } from "./encode.ts";
import { startNative } from "./launch.ts";
import { MonitorClient } from "./monitor.ts";
import { type MonitorOperation, monitorOperations, type OperationShape } from "./ops.gen.ts";
import { ResultArea } from "./results.ts";
import type { EncodedPlan, Launcher, Monitor, MonitorSpec } from "./types.ts";

const modes = { plan: 0, runtime: 1, fifo: 2 };
const formats = { "json-file": 0, cri: 1, raw: 2 };

/** The spec as operations for the native monitor. */
export function monitorProgram(spec: MonitorSpec): MonitorOperation[] {
  const program: MonitorOperation[] = [
    {
      op: "monitorRun",
      mode: modes[spec.run.kind],
      terminal: spec.terminal ? 1 : 0,
      input: spec.stdin ? 1 : 0,
      hold: spec.hold ? 1 : 0,
      rows: spec.size?.rows ?? 0,
      columns: spec.size?.columns ?? 0,
      rootfs: spec.rootfs ?? "",
      ...(spec.run.kind === "runtime"
        ? {
            argv: spec.run.argv,
            env: Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`),
            pidFile: spec.run.pidFile,
            consoleSocket: spec.run.consoleSocket ?? "",
          }
        : {}),
    },
  ];
  if (spec.log)
    program.push({
      op: "monitorLog",
      path: resolve(spec.log.path),
      format: formats[spec.log.format],
      maxSize: spec.log.maxSize ?? 0,
      maxFiles: spec.log.maxFiles ?? 1,
    });
  if (spec.fifos)
    program.push({
      op: "monitorFifos",
      input: spec.fifos.stdin ?? "",
      output: spec.fifos.stdout ?? "",
      errors: spec.fifos.stderr ?? "",
    });
  if (spec.oom) {
    const { version, path } = spec.oom;
    const own = join(path, version === 1 ? "memory.oom_control" : "memory.events");
    // v1 counts a kill in its own cgroup alone.
    program.push({ op: "monitorOom", own, above: version === 1 ? "" : join(dirname(path), "memory.events") });
  }
  return program;
}

/** The same, as the native monitor reads it. */
export function encodeProgram(spec: MonitorSpec): Uint8Array {
  return encodeOperations(
    monitorProgram(spec).map((operation) => ({
      name: operation.op,
      shape: monitorOperations[operation.op] as OperationShape,
      role: "monitor" as const,
      tolerant: false,
      values: { ...operation },
    })),
    0,
  );
}

/**
 * Starts a monitor and resolves when its process waits at the start gate (or runs, in a plan without one).
 * Throws PlanError for a plan that failed, and the runtime's own words for a foreign runtime that did.
 */
export async function spawnMonitor(spec: MonitorSpec): Promise<Monitor> {
  const plan: EncodedPlan | undefined = spec.run.kind === "plan" ? spec.run.plan : undefined;
  if (spec.run.kind === "runtime" && spec.terminal && !spec.run.consoleSocket)
    throw new CortenError(
      "invalid_argument",
      "a foreign runtime with a terminal needs a console socket path",
    );
  const dir = resolve(spec.dir);
  const program = sealedMemfd("corten-monitor", encodeProgram({ ...spec, dir }));
  const results = plan ? new ResultArea(plan) : undefined;
  const planFd = plan ? sealedMemfd("corten-plan", plan.bytes) : undefined;
  const ready = deferred<number>();
  ready.promise.catch(() => {});
  let words = "";
  let client: MonitorClient | undefined;
  let settled = false;
  const failure = () =>
    results?.failure() ??
    new CortenError("internal", words ? words.trim() : `the monitor in ${dir} ended without a word`);
  try {
    const { channel, pid } = await startNative(
      ["monitor", dir],
      ["ignore", "ignore", "ignore"],
      [results?.fd ?? "ignore", planFd ?? "ignore", program, ...(plan?.fds ?? [])],
      {
        frame(type, payload) {
          if (type === frameTypes.ready) ready.resolve(payload.readInt32LE(0));
          else if (type === frameTypes.failed) {
            words = payload.toString("utf8");
            if (!settled) ready.reject(failure());
          } else if (type === frameTypes.sync && plan)
            void answerSync(plan, payload, (answer) => channel.send(frameTypes.syncDone, answer)).catch(
              ready.reject,
            );
          else client?.frame(type, payload);
        },
        close() {
          if (!settled) ready.reject(failure());
          client?.closed();
        },
      },
    );
    client = new MonitorClient(dir, channel, 0, pid);
    client.pid = await ready.promise;
    // To describe a hundred steps takes longer than to run some of them.
    if (traceparent()) client.timings = results?.timings() ?? [];
    client.warnings = results?.warnings() ?? [];
    return client;
  } finally {
    settled = true;
    closeSync(program);
    if (planFd !== undefined) closeSync(planFd);
    results?.close();
  }
}

/** A launcher for runc.create and runc.exec that puts the process under a monitor; `monitor` is set after the launch. */
export function monitorLauncher(
  spec: Omit<MonitorSpec, "run">,
): Launcher & { readonly monitor: Monitor | undefined } {
  let monitor: Monitor | undefined;
  return {
    get monitor() {
      return monitor;
    },
    async launch(plan: EncodedPlan) {
      monitor = await spawnMonitor({ ...spec, run: { kind: "plan", plan } });
      return { pid: monitor.pid, timings: monitor.timings, warnings: monitor.warnings };
    },
  };
}
