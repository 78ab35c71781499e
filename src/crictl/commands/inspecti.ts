import { ImageSchema, type ImageStatusResponse } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { goQuote } from "../../cli/format/quote.ts";
import { humanSize } from "../../cli/format/units.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { filterFlag, listImages } from "../images.ts";
import { inspectAll, inspectFlags } from "../inspection.ts";
import { messageValue } from "../output/json.ts";
import { goMap } from "../output/table.ts";

export const command: VerbBody = {
  argsUsage: "IMAGE-ID [IMAGE-ID...]",
  shortOptions: true,
  flags: [...inspectFlags, string("name", "Filter by image name"), filterFlag],
  async run(call) {
    const images = await call.images();
    const find = async () => {
      const found = await doing("listing images", () =>
        listImages(images, call.flags.text("name"), call.flags.list("filter")),
      );
      return found.map(({ id }) => id);
    };
    await inspectAll(call, find, undefined, {
      fetch: async (id, verbose) => {
        const response = await doing(`image status for ${goQuote(id)} request`, () =>
          images.imageStatus(id, verbose),
        );
        if (!response.image) throw new Error(`no such image ${goQuote(id)} present`);
        return response;
      },
      value: ({ image }) => messageValue(ImageSchema, image!),
      info: ({ info }) => info,
      table: tableText,
    });
  },
};

function tableText({ image, info }: ImageStatusResponse, verbose: boolean): string {
  if (!image) return "";
  return [
    `ID: ${image.id}\n`,
    ...image.repoTags.map((tag) => `Tag: ${tag}\n`),
    ...image.repoDigests.map((digest) => `Digest: ${digest}\n`),
    `Size: ${humanSize(Number(image.size), 3)}\n`,
    verbose ? `Info: ${goMap(info)}\n` : "",
  ].join("");
}
