import type { JsonValue } from "@bufbuild/protobuf";
import {
  ContainerState,
  type ContainerStatus,
  type ContainerStatusResponse,
  ContainerStatusSchema,
} from "../../../proto/gen/runtime/v1/container_pb.ts";
import type { VerbBody } from "../command.ts";
import { listContainers } from "../containers.ts";
import { doing } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { inspectAll, inspectFlags } from "../inspection.ts";
import { statusFields } from "../output/json.ts";
import { goMap, pairs } from "../output/table.ts";
import { age, localRfc3339, noTime } from "../output/time.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  flags: [
    ...inspectFlags,
    string("name", "Filter by container name regular expression pattern"),
    string("namespace", "Filter by pod namespace regular expression pattern"),
    string("pod,p", "Filter by pod id"),
    string("image", "Filter by container image"),
    string("state,s", "Filter by container state"),
    strings("label", "Filter by key=value label"),
    bool("latest,l", "Show the most recently created container (includes all states)"),
    int("last,n", "Show last n recently created containers (includes all states). Set 0 for unlimited."),
    bool("all,a", "Show all containers"),
  ],
  async run(call) {
    const { flags } = call;
    const runtime = await call.runtime();
    const images = await call.images();
    const find = async () => {
      const labels = parseLabels(flags.list("label"));
      const found = await doing("listing containers", () =>
        listContainers(runtime, images, {
          id: "",
          name: flags.text("name"),
          pod: flags.text("pod"),
          namespace: flags.text("namespace"),
          image: flags.text("image"),
          state: flags.text("state"),
          labels,
          latest: flags.is("latest"),
          last: flags.number("last"),
          all: flags.is("all"),
        }),
      );
      return found.map(({ id }) => id);
    };
    await inspectAll(call, find, "get the status of containers", {
      fetch: (id, verbose) => doing("get container status", () => runtime.containerStatus(id, verbose)),
      value: ({ status }) => (status ? statusValue(status) : null),
      info: ({ info }) => info,
      table: tableText,
    });
  },
};

/** The times that mean something are readable, the others are Go's time that is not set. */
function statusValue(status: ContainerStatus): JsonValue {
  const { state } = status;
  const finished =
    state === ContainerState.CONTAINER_EXITED ||
    (state === ContainerState.CONTAINER_UNKNOWN && status.finishedAt > 0n);
  return {
    ...statusFields(ContainerStatusSchema, status),
    createdAt: localRfc3339(status.createdAt),
    startedAt: state === ContainerState.CONTAINER_CREATED ? noTime : localRfc3339(status.startedAt),
    finishedAt: finished ? localRfc3339(status.finishedAt) : noTime,
  };
}

function tableText({ status, info }: ContainerStatusResponse, verbose: boolean): string {
  if (!status) return "";
  const { metadata } = status;
  const exited = status.state === ContainerState.CONTAINER_EXITED;
  return [
    `ID: ${status.id}\n`,
    metadata?.name ? `Name: ${metadata.name}\n` : "",
    metadata?.attempt ? `Attempt: ${metadata.attempt}\n` : "",
    `State: ${ContainerState[status.state].replace(/^(?!CONTAINER_)/, "CONTAINER_")}\nCreated: ${age(status.createdAt)}\n`,
    status.state === ContainerState.CONTAINER_CREATED ? "" : `Started: ${age(status.startedAt)}\n`,
    exited && status.finishedAt > 0n ? `Finished: ${age(status.finishedAt)}\n` : "",
    exited ? `Exit Code: ${status.exitCode}\n` : "",
    pairs("Labels", status.labels),
    pairs("Annotations", status.annotations),
    verbose ? `Info: ${goMap(info)}\n` : "",
  ].join("");
}
