/** `type=tar` and `type=local`: the files of the result, below a directory per platform when there are several. */
import { invalid } from "../../base/errors.ts";
import type { Layer } from "../types.ts";
import { attestationFiles } from "./attestations.ts";
import { flag, isMirror } from "./attributes.ts";
import { type OutputJob, platformFolder } from "./export-result.ts";
import { LocalWriter } from "./local-writer.ts";
import { TarWriter } from "./tar-writer.ts";
import { withRootfs } from "./tree.ts";

/** What both forms are to this file. */
export interface RootfsWriter {
  /** Begins a platform's part, below `folder` ("" is the root itself). */
  begin(folder: string): Promise<void>;
  tree(rootFd: number): Promise<void>;
  file(name: string, data: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

export async function exportRootfs(job: OutputJob): Promise<void> {
  const { context, input, output, report, request } = job;
  const split = flag(output.attributes, "platform-split", input.targets.length > 1);
  const writer = writerOf(job, !split && input.targets.length > 1);
  try {
    for (const { target, result } of input.targets) {
      request.signal.throwIfAborted();
      const folder = split ? platformFolder(target.platform) : "";
      const layers: readonly Layer[] = result?.layers ?? [];
      await report.part(folder === "" ? "copying files" : `copying files ${folder}`, async () => {
        await writer.begin(folder);
        await withRootfs(context, layers, (rootFd) => writer.tree(rootFd));
        for (const { name, data } of await attestationFiles(job, target, layers))
          await writer.file(name, data);
      });
    }
    await writer.end();
  } finally {
    if (writer instanceof LocalWriter) writer.close();
  }
}

function writerOf(job: OutputJob, exclusive: boolean): RootfsWriter {
  const { epoch, output, request } = job;
  const options = { signal: request.signal, exclusive, ...(epoch === undefined ? {} : { epoch }) };
  if (output.type === "local" && output.directory !== undefined)
    return new LocalWriter(output.directory, {
      ...options,
      mirror: isMirror(output.attributes),
      owner: output.owner ?? { uid: process.getuid!(), gid: process.getgid!() },
    });
  if (!output.write) throw invalid(`output type ${output.type} needs a destination (dest=…)`);
  return new TarWriter(output.write, options);
}
