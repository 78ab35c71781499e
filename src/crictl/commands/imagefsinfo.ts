import { type FilesystemUsage, ImageFsInfoResponseSchema } from "../../../proto/gen/runtime/v1/stats_pb.ts";
import { humanSize } from "../../cli/format/units.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { messageValue } from "../output/json.ts";
import { renderStatus } from "../output/status.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [
    string("output,o", "Output format, One of: json|yaml|go-template|table"),
    string(
      "template",
      "The template string is only used when output is go-template; The Template format is golang template",
    ),
  ],
  async run(call) {
    const images = await call.images();
    const format = call.flags.text("output") || "json";
    const response = await doing("image filesystem info request", () =>
      images.call((client, options) => client.imageFsInfo({}, options)),
    );
    if (format === "table")
      return call.print(
        tableText("Container", response.containerFilesystems) + tableText("Image", response.imageFilesystems),
      );
    call.print(
      renderStatus(
        [{ status: messageValue(ImageFsInfoResponseSchema, response), info: {} }],
        format,
        call.flags.text("template"),
      ),
    );
  },
};

const tableText = (label: string, systems: readonly FilesystemUsage[]) =>
  `${label} Filesystem \n${systems
    .map(
      (one, at) =>
        `TimeStamp[${at}]: ${one.timestamp}\nDisk[${at}]: ${humanSize(Number(one.usedBytes?.value ?? 0n))}\nInodes[${at}]: ${one.inodesUsed?.value ?? 0n}\nMountpoint[${at}]: ${one.fsId?.mountpoint ?? ""}\n`,
    )
    .join("")}`;
