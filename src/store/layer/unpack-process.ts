/** The process behind `unpackInProcess`: one layer, then it ends. */
import { createReadStream } from "node:fs";
import { asCortenError } from "../../base/errors.ts";
import { startHashWorker } from "./hash-ring.ts";
import { isCompiled, type UnpackReply, type UnpackRequest } from "./spawn.ts";
import { unpack } from "./unpack.ts";

export async function main(argv: readonly string[]): Promise<number> {
  // Modes are set as the layer says, also those given at creation.
  process.umask(0);
  const { target, path, limits, expectedDiffId } = JSON.parse(argv[0] ?? "") as UnpackRequest;
  const hash = startHashWorker();
  let reply: UnpackReply;
  try {
    const source = path === undefined ? process.stdin : createReadStream(path, { highWaterMark: 1 << 20 });
    const ok = await unpack(target, source as AsyncIterable<Uint8Array>, {
      hash,
      ...(limits ? { limits } : {}),
      ...(expectedDiffId ? { expectedDiffId } : {}),
    });
    reply = { ok };
  } catch (error) {
    const { code, message } = asCortenError(error);
    reply = { error: { code, message } };
  }
  await new Promise<void>((done) => process.stdout.write(`${JSON.stringify(reply)}\n`, () => done()));
  // The rest of a refused input, and a hash worker amid its work, are not waited for.
  process.exit(0);
}

// In the compiled executable every module is the main one, and `main.ts` does the calling.
if (import.meta.main && !isCompiled) await main(process.argv.slice(2));
