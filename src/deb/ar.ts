/** The outer archive of a .deb (deb(5)): debian-binary, control.tar, data.tar, in this order. */
import { CortenError } from "../base/errors.ts";
import { ByteReader } from "./byte-reader.ts";

export interface ArMember {
  name: string;
  size: number;
  /** To be read to its end before the next member. */
  bytes: AsyncIterable<Uint8Array>;
}

/** The members of an ar archive, one after the other. */
export async function* readAr(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArMember> {
  const reader = new ByteReader(source);
  try {
    if ((await reader.read(8))?.toString("latin1") !== "!<arch>\n")
      throw new CortenError("data_loss", "not a .deb: the ar header is missing");
    for (;;) {
      const header = await reader.read(60);
      if (!header) return;
      const text = header.toString("latin1");
      const size = Number(text.slice(48, 58).trim() || "x");
      if (text.slice(58) !== "`\n" || !Number.isSafeInteger(size) || size < 0)
        throw new CortenError("data_loss", "not a .deb: a malformed ar header");
      let left = size;
      const bytes = (async function* () {
        for await (const chunk of reader.stream(size)) {
          left -= chunk.length;
          yield chunk;
        }
      })();
      yield { name: text.slice(0, 16).trim().replace(/\/$/, ""), size, bytes };
      await reader.skip(left);
      if (size % 2 === 1) await reader.skip(1).catch(() => {});
    }
  } finally {
    await reader.close();
  }
}
