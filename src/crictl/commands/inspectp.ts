import {
  PodSandboxState,
  type PodSandboxStatusResponse,
  PodSandboxStatusSchema,
} from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { inspectAll, inspectFlags } from "../inspection.ts";
import { statusFields } from "../output/json.ts";
import { goMap, pairs } from "../output/table.ts";
import { goTime, localRfc3339 } from "../output/time.ts";
import { listPods } from "../pods.ts";

export const command: VerbBody = {
  argsUsage: "POD-ID [POD-ID...]",
  shortOptions: true,
  flags: [
    ...inspectFlags,
    string("name", "Filter by pod name regular expression pattern"),
    string("namespace", "Filter by pod namespace regular expression pattern"),
    string("state,s", "Filter by pod state"),
    strings("label", "Filter by key=value label"),
    bool("latest,l", "Show the most recently created pod"),
    int("last,n", "Show last n recently created pods. Set 0 for unlimited"),
  ],
  async run(call) {
    const { flags } = call;
    const runtime = await call.runtime();
    const find = async () => {
      const labels = await doing("parse label string slice", () => parseLabels(flags.list("label")));
      const found = await doing("listing pod sandboxes", () =>
        listPods(runtime, {
          id: "",
          name: flags.text("name"),
          namespace: flags.text("namespace"),
          state: flags.text("state"),
          labels,
          latest: flags.is("latest"),
          last: flags.number("last"),
        }),
      );
      return found.map(({ id }) => id);
    };
    await inspectAll(call, find, "get the status of pod sandboxes", {
      fetch: (id, verbose) => doing("get pod sandbox status", () => runtime.podSandboxStatus(id, verbose)),
      value: ({ status }) =>
        status
          ? {
              ...statusFields(PodSandboxStatusSchema, status),
              createdAt: localRfc3339(status.createdAt),
            }
          : null,
      info: ({ info }) => info,
      table: tableText,
    });
  },
};

function tableText({ status, info }: PodSandboxStatusResponse, verbose: boolean): string {
  if (!status) return "";
  const { metadata, network } = status;
  return [
    `ID: ${status.id}\n`,
    metadata?.name ? `Name: ${metadata.name}\n` : "",
    metadata?.uid ? `UID: ${metadata.uid}\n` : "",
    metadata?.namespace ? `Namespace: ${metadata.namespace}\n` : "",
    metadata ? `Attempt: ${metadata.attempt}\n` : "",
    `Status: ${PodSandboxState[status.state]}\nCreated: ${goTime(status.createdAt)}\n`,
    network ? `IP Addresses: ${network.ip}\n` : "",
    ...(network?.additionalIps ?? []).map(({ ip }) => `Additional IP: ${ip}\n`),
    pairs("Labels", status.labels),
    pairs("Annotations", status.annotations),
    verbose ? `Info: ${goMap(info)}\n` : "",
  ].join("");
}
