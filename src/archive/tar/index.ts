export { blockSize, padding, type TarEntry, type TarEntryType } from "./entry.ts";
export { type EntryLike, tarOf } from "./make.ts";
export { type TarMember, tarMembers } from "./members.ts";
export { type TarLimits, TarReader, type TarSink } from "./reader.ts";
export { endOfArchive, formatEntry } from "./writer.ts";
