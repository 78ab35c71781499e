import { ListPodSandboxResponseSchema, type PodSandbox } from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { printMessage } from "../output/message.ts";
import { pairs, table, truncated } from "../output/table.ts";
import { age, goTime } from "../output/time.ts";
import { listPods, podState, runtimeHandler } from "../pods.ts";

const header = ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"];

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    string("id", "filter by pod id"),
    string("name", "Filter by pod name regular expression pattern"),
    string("namespace", "Filter by pod namespace regular expression pattern"),
    string("state,s", "Filter by pod state"),
    strings("label", "Filter by key=value label"),
    bool("verbose,v", "Show verbose info for pods"),
    bool("quiet,q", "List only pod IDs"),
    string("output,o", "Output format, One of: json|yaml|table", { initial: "table" }),
    bool("latest,l", "Show the most recently created pod"),
    int("last,n", "Show last n recently created pods. Set 0 for unlimited"),
    bool("no-trunc", "Show output without truncating the ID"),
  ],
  async run(call) {
    const { flags } = call;
    const runtime = await call.runtime();
    const labels = parseLabels(flags.list("label"));
    await doing("listing pod sandboxes", async () => {
      const items = await doing("list pod sandboxes", () =>
        listPods(runtime, {
          id: flags.text("id"),
          name: flags.text("name"),
          namespace: flags.text("namespace"),
          state: flags.text("state"),
          labels,
          latest: flags.is("latest"),
          last: flags.number("last"),
        }),
      );
      const output = flags.text("output");
      if (printMessage(call, output, ListPodSandboxResponseSchema, { items })) return;
      if (output !== "table") throw new Error(`unsupported output format ${goQuote(output)}`);
      if (flags.is("quiet")) return call.print(items.map(({ id }) => `${id}\n`).join(""));
      if (flags.is("verbose")) return call.print(items.map(verbose).join(""));
      call.print(table([header, ...items.map((pod) => row(pod, flags.is("no-trunc")))]));
    });
  },
};

const row = (pod: PodSandbox, whole: boolean) => [
  whole ? pod.id : truncated(pod.id),
  age(pod.createdAt),
  podState(pod.state),
  pod.metadata?.name ?? "",
  pod.metadata?.namespace ?? "",
  String(pod.metadata?.attempt ?? 0),
  runtimeHandler(pod),
];

function verbose(pod: PodSandbox): string {
  const { metadata } = pod;
  return [
    `ID: ${pod.id}\n`,
    metadata?.name ? `Name: ${metadata.name}\n` : "",
    metadata?.uid ? `UID: ${metadata.uid}\n` : "",
    metadata?.namespace ? `Namespace: ${metadata.namespace}\n` : "",
    metadata?.attempt ? `Attempt: ${metadata.attempt}\n` : "",
    `Status: ${podState(pod.state)}\nCreated: ${goTime(pod.createdAt)}\n`,
    pairs("Labels", pod.labels),
    pairs("Annotations", pod.annotations),
    `Runtime: ${runtimeHandler(pod)}\n\n`,
  ].join("");
}
