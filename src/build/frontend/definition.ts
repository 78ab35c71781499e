/**
 * Where a build is told what to do: the Dockerfile, .dockerignore and the main context, from the client's
 * directories or from a git repository or URL (BuildKit's frontend/dockerui).
 */
import { posix } from "node:path";
import { invalid, messageOf, notFound } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { Ignore } from "../dockerfile/index.ts";
import { type Vertex, vertex } from "../graph.ts";
import type { BuildRequest } from "../types.ts";
import { own, parseBoolean } from "./arguments.ts";
import { filenameOfUrl, gitSource, isHttpUrl, parseGitReference } from "./git-reference.ts";
import { type Step, step } from "./steps.ts";
import type { FrontendServices } from "./types.ts";

export interface Definition {
  filename: string;
  text: string;
  /** Step that read the Dockerfile: what warnings belong to. */
  step: Digest;
  context: Vertex;
  /** The context is a directory of the client, and this is what of it counts. */
  ignore: Ignore | undefined;
}

const mainContext = "context";
const defaultFilename = "Dockerfile";
/** A Dockerfile or .dockerignore that is larger was not written by anyone. */
const maxFile = 16 << 20;
const maxHeader = 1024;

/** Where the Dockerfile is and what it is built from. */
interface Place {
  context: Vertex;
  /** Absent: the Dockerfile is in the client's directory. */
  dockerfile?: Vertex;
  filename: string;
}

export async function readDefinition(
  request: BuildRequest,
  services: FrontendServices,
  platform: Platform,
): Promise<Definition> {
  const filename = request.filename || defaultFilename;
  const place =
    request.remoteContext === undefined
      ? undefined
      : await remotePlace(request, services, request.remoteContext, filename, platform);
  const local = request.dockerfileContext ?? mainContext;
  const remote = place?.dockerfile;
  const named = place?.filename ?? filename;
  const read = (path: string): Promise<Uint8Array | undefined> =>
    remote === undefined
      ? request.contexts.read(local, path, maxFile + 1)
      : sourcesOf(services).readFile(remote, path, maxFile + 1);
  const { text, digest, ownIgnore } = await step(
    request.progress,
    request.id,
    `[internal] load build definition from ${named}`,
    async (internal) => {
      const data = (await read(named)) ?? (await readLowercase(named, read));
      if (data === undefined)
        throw notFound(`failed to read dockerfile: open ${named}: no such file or directory`);
      transferred(internal, "dockerfile", data.length);
      return {
        text: decodeText(named, data),
        digest: internal.digest,
        ownIgnore: place === undefined ? await read(`${named}.dockerignore`) : undefined,
      };
    },
  );
  const exclude = place === undefined ? await readIgnore(request, named, ownIgnore) : undefined;
  return {
    filename: named,
    text,
    step: digest,
    context: place?.context ?? localContext(exclude ?? [], platform),
    ignore: exclude === undefined ? undefined : new Ignore(exclude),
  };
}

/** `dockerfile` is accepted where `Dockerfile` was meant. */
async function readLowercase(
  filename: string,
  read: (path: string) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array | undefined> {
  if (posix.basename(filename) !== defaultFilename) return undefined;
  return read(posix.join(posix.dirname(filename), defaultFilename.toLowerCase()));
}

function decodeText(name: string, data: Uint8Array): string {
  if (data.length > maxFile) throw invalid(`${name} is larger than ${maxFile} bytes`);
  return new TextDecoder().decode(data);
}

async function readIgnore(
  request: BuildRequest,
  filename: string,
  ownIgnore: Uint8Array | undefined,
): Promise<string[] | undefined> {
  const name = ownIgnore === undefined ? ".dockerignore" : `${filename}.dockerignore`;
  const data =
    ownIgnore ??
    (request.contexts.has(mainContext)
      ? await step(request.progress, request.id, "[internal] load .dockerignore", async (internal) => {
          const found = await request.contexts.read(mainContext, ".dockerignore", maxFile + 1);
          transferred(internal, "context", found?.length ?? 0);
          return found;
        })
      : undefined);
  return data === undefined ? undefined : parseIgnore(name, data);
}

/** The patterns in a file of them. */
export function parseIgnore(name: string, data: Uint8Array): string[] {
  try {
    const patterns = Ignore.parse(decodeText(name, data));
    // A bad pattern is the file's fault: it is found here rather than where the files are walked.
    new Ignore(patterns);
    return patterns;
  } catch (error) {
    throw invalid(`failed parsing ${name}: ${messageOf(error)}`, error);
  }
}

export function localContext(exclude: readonly string[], platform: Platform): Vertex {
  return vertex({ kind: "local", name: mainContext, exclude }, [], {
    name: "[internal] load build context",
    platform,
  });
}

async function remotePlace(
  request: BuildRequest,
  services: FrontendServices,
  url: string,
  filename: string,
  platform: Platform,
): Promise<Place> {
  const elsewhere = request.dockerfileContext !== undefined;
  const git = parseGitReference(url);
  if (git !== undefined) {
    const context = vertex(
      gitSource(git, {
        keepGitDir: parseBoolean(own(request.buildArgs, "BUILDKIT_CONTEXT_KEEP_GIT_DIR") ?? "") ?? false,
        commitTimes: (own(request.buildArgs, "SOURCE_DATE_EPOCH") ?? "") !== "",
      }),
      [],
      { name: `[internal] load git source ${url}`, platform },
    );
    return { context, filename, ...(!elsewhere && { dockerfile: context }) };
  }
  if (!isHttpUrl(url))
    throw invalid(`unable to prepare context: ${url} is neither a git repository nor a URL`);
  const download = vertex({ kind: "http", url, filename: mainContext }, [], {
    name: "[internal] load remote build context",
    platform,
  });
  const header = await sourcesOf(services).readFile(download, mainContext, maxHeader, { head: true });
  if (header === undefined) throw notFound(`failed to read downloaded context: ${filenameOfUrl(url)}`);
  if (!isArchive(header))
    return {
      context: download,
      filename: elsewhere ? filename : mainContext,

      ...(!elsewhere && { dockerfile: download }),
    };
  const context = unpacked(download, mainContext, "[internal] unpack remote build context");
  return { context, filename, ...(!elsewhere && { dockerfile: context }) };
}

/** A downloaded tar as the directory that is in it. */
export function unpacked(download: Vertex, filename: string, name: string): Vertex {
  return vertex(
    {
      kind: "files",
      actions: [{ action: "copy", input: 0, sources: [`/${filename}`], destination: "/", unpack: true }],
    },
    [download],
    { name, platform: download.platform },
  );
}

const magics = [
  [0x42, 0x5a, 0x68],
  [0x1f, 0x8b, 0x08],
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  [0x28, 0xb5, 0x2f, 0xfd],
];

/** bzip2, gzip, xz, zstd, or a tar's header whose checksum holds. */
export function isArchive(header: Uint8Array): boolean {
  if (magics.some((magic) => magic.every((byte, index) => header[index] === byte))) return true;
  if (header.length < 512) return false;
  const text = new TextDecoder()
    .decode(header.subarray(148, 156))
    .replace(/[\0 ]+$/, "")
    .trim();
  if (!/^[0-7]{1,8}$/.test(text)) return false;
  let sum = 0;
  for (let index = 0; index < 512; index++) sum += index >= 148 && index < 156 ? 0x20 : header[index]!;
  return sum === Number.parseInt(text, 8);
}

export function sourcesOf(services: FrontendServices): NonNullable<FrontendServices["sources"]> {
  if (services.sources === undefined)
    throw invalid("remote contexts are not possible here: nothing was given to read them with");
  return services.sources;
}

function transferred(internal: Step, what: string, bytes: number): void {
  internal.status({
    id: `transferring ${what}:`,
    name: "transferring",
    current: bytes,
    total: 0,
    done: true,
  });
}
