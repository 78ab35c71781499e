/** The directories that a client shares in its session, as a build's contexts. */
import { existsSync } from "node:fs";
import { FileSync } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { readContextFile } from "../../../build/context/host.ts";
import { likeness, Mirror, type MirrorEntry } from "../../../build/context/mirror.ts";
import type { Mirrors, Place } from "../../../build/context/mirrors.ts";
import type { Contexts } from "../../../build/types.ts";
import { receiveDirectory } from "./receive.ts";
import type { Session } from "./sessions.ts";

export interface SessionContexts extends Contexts {
  close(): void;
}

/** The few files that are read before the build (Dockerfile, .dockerignore) come alone, and are small. */
const readLimits = { maxSize: 64 << 20, maxEntries: 10_000 };

/** `sessionOf` says whose directory a name is. */
export function sessionContexts(
  sessionOf: (name: string) => Promise<Session>,
  mirrors: Mirrors,
  signal: AbortSignal,
  offers: boolean,
): SessionContexts {
  const places: Place[] = [];
  /** Directory and path → where the file was received. */
  const fetched = new Map<string, Promise<string>>();

  const fetch = async (name: string, files: readonly string[]): Promise<string> => {
    const session = await sessionOf(name);
    const place = mirrors.take(undefined);
    places.push(place);
    const mirror = new Mirror(place.directory, { limits: readLimits, discard: place.discard });
    await receiveDirectory(session, { name, include: files, follow: files }, () => mirror, { signal });
    return mirror.path;
  };

  return {
    has: () => offers,
    async open(name, options) {
      const session = await sessionOf(name);
      const { sharedKey } = session;
      const key = sharedKey === "" ? undefined : JSON.stringify([sharedKey, name]);
      const held: { place?: Place; mirror?: Mirror } = {};
      const mirrorFor = (first: readonly MirrorEntry[]): Mirror => {
        held.place = mirrors.take(key, (directory) => likeness(directory, first));
        const { directory, discard } = held.place;
        held.mirror = new Mirror(directory, { discard });
        return held.mirror;
      };
      try {
        const hashes = await receiveDirectory(
          session,
          { name, exclude: options.exclude },
          mirrorFor,
          options,
        );
        return { path: held.mirror!.path, hashes, close: async () => held.place?.release() };
      } catch (error) {
        held.place?.release();
        throw error;
      }
    },
    async read(name, path, limit) {
      const key = JSON.stringify([name, path]);
      let directory = fetched.get(key);
      if (!directory) {
        const clean = path.replace(/^\/+/, "");
        const files = clean.endsWith(".dockerignore") ? [clean] : [clean, `${clean}.dockerignore`];
        directory = fetch(name, files);
        for (const file of files) fetched.set(JSON.stringify([name, file]), directory);
        fetched.set(key, directory);
      }
      const where = await directory;
      return existsSync(where) ? readContextFile(where, path, limit) : undefined;
    },
    close() {
      for (const place of places) place.release();
      places.length = 0;
    },
  };
}

export const sharesDirectories = (session: Session): boolean => session.supports(FileSync.method.diffCopy);
