import { type Image, ListImagesResponseSchema } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { humanSize } from "../../cli/format/units.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { bool, type Flags, string } from "../flags.ts";
import { filterFlag, listImages, repoDigest, tagPairs } from "../images.ts";
import { printMessage } from "../output/message.ts";
import { table, truncated } from "../output/table.ts";

export const command: VerbBody = {
  argsUsage: "[REPOSITORY[:TAG]]",
  shortOptions: true,
  flags: [
    bool("verbose,v", "Show verbose info for images"),
    bool("quiet,q", "Only show image IDs"),
    filterFlag,
    string("output,o", "Output format, One of: json|yaml|table"),
    bool("digests", "Show digests"),
    bool("no-trunc", "Show output without truncating the ID"),
    bool("pinned", "Show whether the image is pinned or not"),
  ],
  async run(call) {
    if (call.args.length > 1) return call.help();
    const { flags } = call;
    const connection = await call.images();
    const images = await doing("listing images", () =>
      listImages(connection, call.args[0] ?? "", flags.list("filter")),
    );
    if (printMessage(call, flags.text("output"), ListImagesResponseSchema, { images })) return;
    if (flags.is("quiet")) return call.print(images.map(({ id }) => `${id}\n`).join(""));
    if (flags.is("verbose")) return call.print(images.map(verbose).join(""));
    const header = [
      "IMAGE",
      "TAG",
      ...(flags.is("digests") ? ["DIGEST"] : []),
      "IMAGE ID",
      "SIZE",
      ...(flags.is("pinned") ? ["PINNED"] : []),
    ];
    call.print(table([header, ...images.flatMap((image) => rows(image, flags))]));
  },
};

function rows(image: Image, flags: Flags): string[][] {
  const whole = flags.is("no-trunc");
  const digest = repoDigest(image)[1];
  return tagPairs(image).map(([name, tag]) => [
    name,
    tag,
    ...(flags.is("digests") ? [whole ? digest : truncated(digest, "sha256:")] : []),
    whole ? image.id : truncated(image.id, "sha256:"),
    humanSize(Number(image.size), 3),
    ...(flags.is("pinned") ? [String(image.pinned)] : []),
  ]);
}

const verbose = (image: Image) =>
  [
    `ID: ${image.id}\n`,
    ...image.repoTags.map((tag) => `RepoTags: ${tag}\n`),
    ...image.repoDigests.map((digest) => `RepoDigests: ${digest}\n`),
    image.size === 0n ? "" : `Size: ${image.size}\n`,
    image.uid ? `Uid: &Int64Value{Value:${image.uid.value},}\n` : "",
    image.username === "" ? "" : `Username: ${image.username}\n`,
    image.pinned ? "Pinned: true\n" : "",
    "\n",
  ].join("");
