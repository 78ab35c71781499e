import { type Container, ListContainersResponseSchema } from "../../../proto/gen/runtime/v1/container_pb.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { listContainers, podName, podNamespace, stateName } from "../containers.ts";
import { doing, wrap } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { printMessage } from "../output/message.ts";
import { pairs, table, truncated } from "../output/table.ts";
import { age } from "../output/time.ts";
import type { ImageConnection } from "../services.ts";

const header = ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"];

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    bool("verbose,v", "Show verbose information for containers"),
    string("id", "Filter by container id"),
    string("name", "Filter by container name regular expression pattern"),
    string("pod,p", "Filter by pod id"),
    string("image", "Filter by container image"),
    string("state,s", "Filter by container state"),
    strings("label", "Filter by key=value label"),
    bool("quiet,q", "Only display container IDs"),
    string("output,o", "Output format, One of: json|yaml|table", { initial: "table" }),
    bool("all,a", "Show all containers"),
    bool("latest,l", "Show the most recently created container (includes all states)"),
    int("last,n", "Show last n recently created containers (includes all states). Set 0 for unlimited."),
    bool("no-trunc", "Show output without truncating the ID"),
    bool("resolve-image-path,r", "Show image path instead of image id"),
    string("namespace", "Filter by pod namespace regular expression pattern"),
  ],
  async run(call) {
    if (call.args.length > 0) return call.help();
    const { flags } = call;
    const runtime = await call.runtime();
    const images = await call.images();
    const labels = parseLabels(flags.list("label"));
    await doing("listing containers", async () => {
      const containers = await doing("list containers", () =>
        listContainers(runtime, images, {
          id: flags.text("id"),
          pod: flags.text("pod"),
          name: flags.text("name"),
          namespace: flags.text("namespace"),
          image: flags.text("image"),
          state: flags.text("state"),
          labels,
          latest: flags.is("latest"),
          last: flags.number("last"),
          all: flags.is("all"),
        }),
      );
      const output = flags.text("output");
      if (printMessage(call, output, ListContainersResponseSchema, { containers })) return;
      if (output !== "table") throw new Error(`unsupported output format ${goQuote(output)}`);
      if (flags.is("quiet")) return call.print(containers.map(({ id }) => `${id}\n`).join(""));
      if (flags.is("verbose")) return call.print(containers.map(verbose).join(""));
      const rows: string[][] = [];
      for (const one of containers)
        rows.push(await row(one, flags.is("no-trunc"), flags.is("resolve-image-path") ? images : undefined));
      call.print(table([header, ...rows]));
    });
  },
};

async function row(one: Container, whole: boolean, resolve: ImageConnection | undefined): Promise<string[]> {
  let image = one.image?.image ?? "";
  const digest = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):[a-zA-Z0-9=_-]+$/.exec(image);
  if (!whole && digest && /:[0-9a-f]{64}$|:[0-9a-f]{128}$/.test(image))
    image = truncated(image, `${digest[1]}:`);
  if (resolve) {
    try {
      image = (await resolve.imageStatus(image, false)).image?.repoTags[0] ?? image;
    } catch (error) {
      throw wrap("failed to fetch repo image", error);
    }
  }
  return [
    whole ? one.id : truncated(one.id),
    image,
    age(one.createdAt),
    stateName(one.state),
    one.metadata?.name ?? "",
    String(one.metadata?.attempt ?? 0),
    whole ? one.podSandboxId : truncated(one.podSandboxId),
    podName(one.labels),
    podNamespace(one.labels),
  ];
}

function verbose(one: Container): string {
  const { metadata } = one;
  return [
    `ID: ${one.id}\nPodID: ${one.podSandboxId}\nNamespace: ${podNamespace(one.labels)}\n`,
    metadata?.name ? `Name: ${metadata.name}\n` : "",
    metadata ? `Attempt: ${metadata.attempt}\n` : "",
    `State: ${stateName(one.state)}\n`,
    one.image ? `Image: ${one.image.image}\n` : "",
    `Created: ${age(one.createdAt)}\n`,
    pairs("Labels", one.labels),
    pairs("Annotations", one.annotations),
    "\n",
  ].join("");
}
