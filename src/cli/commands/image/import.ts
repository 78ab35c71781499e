import { createReadStream } from "node:fs";
import { defineCommand } from "../../command.ts";
import { list, string } from "../../flags/flag.ts";
import { showProgress } from "../../streams/progress.ts";

export default defineCommand({
  usage: "file|URL|- [REPOSITORY[:TAG]]",
  arguments: { min: 1 },
  flags: {
    change: list("c", "Instruction of a Dockerfile to apply to the image"),
    message: string("m", "Comment of the image"),
    platform: string("", "Platform of the image", process.env["DOCKER_DEFAULT_PLATFORM"] ?? ""),
  },
  async run({ cli, args, values }) {
    const [source, repo = ""] = args as [string, string?];
    const remote = /^https?:\/\//.test(source);
    const tar = remote ? undefined : source === "-" ? Bun.stdin.stream() : await opened(source);
    const client = await cli.client();
    const progress = await client.images.import(
      remote ? source : "-",
      tar as AsyncIterable<Uint8Array> | undefined,
      {
        repo,
        message: values.message,
        changes: values.change,
        platform: values.platform,
      },
    );
    await showProgress(progress, cli.out);
  },
});

/** The file's content; one that cannot be opened fails before anything is sent. */
function opened(path: string): Promise<unknown> {
  const stream = createReadStream(path);
  return new Promise((resolve, reject) => {
    stream.once("open", () => resolve(stream));
    stream.once("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(error.code === "ENOENT" ? `open ${path}: no such file or directory` : error.message)),
    );
  });
}
