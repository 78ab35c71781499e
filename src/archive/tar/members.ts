import type { TarEntry } from "./entry.ts";
import { type TarLimits, TarReader } from "./reader.ts";

/** One entry with its data, which is to be read before the next entry is asked for; what is not read is skipped. */
export interface TarMember {
  entry: TarEntry;
  content: AsyncIterable<Uint8Array>;
}

type Event = { kind: "entry"; entry: TarEntry } | { kind: "data"; bytes: Uint8Array } | { kind: "end" };

/** The entries of a tar one after the other. No more than a piece of the source is held. */
export async function* tarMembers(
  source: AsyncIterable<Uint8Array>,
  limits: TarLimits,
): AsyncGenerator<TarMember> {
  const events: Event[] = [];
  const reader = new TarReader(
    {
      entry: (entry) => void events.push({ kind: "entry", entry }),
      data: (bytes) => void events.push({ kind: "data", bytes: bytes.slice() }),
      end: () => void events.push({ kind: "end" }),
    },
    limits,
  );
  const pieces = source[Symbol.asyncIterator]();
  let at = 0;
  let complete = false;
  const next = async (): Promise<Event | undefined> => {
    while (at === events.length) {
      events.length = at = 0;
      if (complete) return undefined;
      const piece = await pieces.next();
      if (piece.done) {
        complete = true;
        reader.finish();
      } else reader.push(piece.value);
    }
    return events[at++];
  };
  try {
    for (let event = await next(); event; event = await next()) {
      if (event.kind !== "entry") continue;
      let open = true;
      async function* content(): AsyncGenerator<Uint8Array> {
        while (open) {
          const piece = await next();
          if (piece?.kind === "data") yield piece.bytes;
          else open = false;
        }
      }
      yield { entry: event.entry, content: content() };
      for await (const rest of content()) void rest;
    }
  } finally {
    await pieces.return?.();
  }
}
