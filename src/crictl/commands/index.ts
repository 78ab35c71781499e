/** The verbs, with what the help and the completion show; the code of one is loaded when it is called. */
import type { Command, VerbBody } from "../command.ts";

export interface Verb {
  name: string;
  aliases?: readonly string[];
  usage: string;
  load: () => Promise<{ command: VerbBody }>;
}

const verb = (names: string, usage: string, load: Verb["load"]): Verb => {
  const [name = "", ...aliases] = names.split(",");
  return { name, aliases, usage, load };
};

export const verbs: readonly Verb[] = [
  verb("attach", "Attach to a running container", () => import("./attach.ts")),
  verb("checkpoint", "Checkpoint one or more running containers", () => import("./checkpoint.ts")),
  verb("completion", "Output shell completion code", () => import("./completion.ts")),
  verb("config", "Get, set and list crictl configuration options", () => import("./config.ts")),
  verb("create", "Create a new container", () => import("./create.ts")),
  verb("events,event", "Stream the events of containers", () => import("./events.ts")),
  verb("exec", "Run a command in a running container", () => import("./exec.ts")),
  verb("imagefsinfo", "Return image filesystem info", () => import("./imagefsinfo.ts")),
  verb("images,image,img", "List images", () => import("./images.ts")),
  verb("info", "Display information of the container runtime", () => import("./info.ts")),
  verb("inspect", "Display the status of one or more containers", () => import("./inspect.ts")),
  verb("inspecti", "Return the status of one or more images", () => import("./inspecti.ts")),
  verb("inspectp", "Display the status of one or more pods", () => import("./inspectp.ts")),
  verb("logs", "Fetch the logs of a container", () => import("./logs.ts")),
  verb(
    "metricdescs",
    "List metric descriptors. Returns information about the metrics available through the CRI.",
    () => import("./metricdescs.ts"),
  ),
  verb(
    "metricsp",
    "List pod metrics. Metrics are unstructured key/value pairs gathered by CRI meant to replace cAdvisor's /metrics/cadvisor endpoint.",
    () => import("./metricsp.ts"),
  ),
  verb("pods", "List pods", () => import("./pods.ts")),
  verb("port-forward", "Forward local port to a pod", () => import("./port-forward.ts")),
  verb("ps", "List containers", () => import("./ps.ts")),
  verb("pull", "Pull an image from a registry", () => import("./pull.ts")),
  verb("rm", "Remove one or more containers", () => import("./rm.ts")),
  verb("rmi", "Remove one or more images", () => import("./rmi.ts")),
  verb("rmp", "Remove one or more pods", () => import("./rmp.ts")),
  verb("run", "Run a new container inside a sandbox", () => import("./run.ts")),
  verb("runp", "Run a new pod", () => import("./runp.ts")),
  verb("runtime-config", "Retrieve the container runtime configuration", () => import("./runtime-config.ts")),
  verb("start", "Start one or more created containers", () => import("./start.ts")),
  verb("stats", "List container(s) resource usage statistics", () => import("./stats.ts")),
  verb(
    "statsp",
    "List pod statistics. Stats represent a structured API that will fulfill the Kubelet's /stats/summary endpoint.",
    () => import("./statsp.ts"),
  ),
  verb("stop", "Stop one or more running containers", () => import("./stop.ts")),
  verb("stopp", "Stop one or more running pods", () => import("./stopp.ts")),
  verb("update", "Update one or more running containers", () => import("./update.ts")),
  verb(
    "update-runtime-config",
    "Update the runtime configuration",
    () => import("./update-runtime-config.ts"),
  ),
  verb("version", "Display runtime version information", () => import("./version.ts")),
];

export const findVerb = (name: string): Verb | undefined =>
  verbs.find((one) => one.name === name || one.aliases?.includes(name));

/** The verb's name and usage are said once, here. */
export async function loadVerb(entry: Verb): Promise<Command> {
  const { command } = await entry.load();
  return {
    ...command,
    name: entry.name,
    usage: entry.usage,
    ...(entry.aliases ? { aliases: entry.aliases } : {}),
  };
}
