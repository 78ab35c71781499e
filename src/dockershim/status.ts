import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StatusResponseSchema } from "../../proto/gen/runtime/v1/status_pb.ts";
import { CgroupDriver } from "../../proto/gen/runtime/v1/status_pb.ts";
import { messageOf, notFound } from "../base/errors.ts";
import type { SystemInfo } from "../engine/types.ts";
import { versionLess } from "../engine/version.ts";
import type { Context } from "./context.ts";
import { pauseImageOf } from "./pause-image.ts";
import { networkProblem } from "./sandbox/network.ts";

const maxAge = 60_000;
const known = new WeakMap<Context, { at: number; info: Promise<SystemInfo> }>();

/** What the daemon says of itself; it is asked once a minute at most, as some take long to answer. */
export function daemonInfo(context: Context): Promise<SystemInfo> {
  const before = known.get(context);
  if (before && Date.now() - before.at < maxAge) return before.info;
  const info = context.client.system.info();
  known.set(context, { at: Date.now(), info });
  info.catch(() => known.delete(context));
  return info;
}

export async function cgroupDriverOf(context: Context): Promise<"systemd" | "cgroupfs"> {
  return (await daemonInfo(context)).CgroupDriver === "systemd" ? "systemd" : "cgroupfs";
}

export async function runtimeConfig(context: Context) {
  const systemd = (await cgroupDriverOf(context)) === "systemd";
  return { linux: { cgroupDriver: systemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS } };
}

/** The daemon's runtime for a pod's handler; `docker` is the default one's name of old. */
export async function runtimeFor(context: Context, handler: string): Promise<string> {
  if (handler === "" || handler === "docker") return "";
  if (!(await daemonInfo(context)).Runtimes?.[handler])
    throw notFound(`failed to get sandbox runtime: no runtime for ${JSON.stringify(handler)} is configured`);
  return handler;
}

/** The handler a runtime of the daemon's stands for. */
export async function handlerOf(context: Context, runtime: string): Promise<string> {
  return runtime === (await daemonInfo(context)).DefaultRuntime ? "" : runtime;
}

/** Docker 25 and later can make read-only mounts recursive. */
export const knowsRecursiveReadOnly = ({ client }: Context): boolean =>
  !versionLess(client.apiVersion, "1.44");

/** Whether pods can be run, and what the daemon's runtimes can do. */
export async function statusOf(
  context: Context,
  verbose: boolean,
): Promise<MessageInitShape<typeof StatusResponseSchema>> {
  let problem: string | undefined;
  let info: SystemInfo | undefined;
  try {
    await context.client.system.ping();
    info = await daemonInfo(context);
  } catch (error) {
    problem = `docker: failed to get docker version: ${messageOf(error)}`;
  }
  const network = networkProblem(context);
  const features = { recursiveReadOnlyMounts: knowsRecursiveReadOnly(context), userNamespaces: false };
  return {
    status: {
      conditions: [
        {
          type: "RuntimeReady",
          status: problem === undefined,
          ...(problem === undefined ? {} : { reason: "DockerDaemonNotReady", message: problem }),
        },
        {
          type: "NetworkReady",
          status: network === undefined,
          ...(network === undefined
            ? {}
            : {
                reason: "NetworkPluginNotReady",
                message: `docker: network plugin is not ready: ${network.message}`,
              }),
        },
      ],
    },
    runtimeHandlers: ["", ...Object.keys(info?.Runtimes ?? {}).sort()].map((name) => ({ name, features })),
    features: {
      supplementalGroupsPolicy: false,
      userNamespacesHostNetwork: false,
    },
    ...(verbose
      ? {
          info: {
            config: JSON.stringify({
              sandboxImage: pauseImageOf(context),
              networkPlugin: context.options.networkPlugin,
              cni: context.options.cni,
              apiVersion: context.client.apiVersion,
            }),
            lastCNILoadStatus: network?.detail ?? "OK",
          },
        }
      : {}),
  };
}
