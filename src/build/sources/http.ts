/** ADD of URLs: downloaded into a layer of one file, and asked for again only as far as the server says. */
import { createHash, randomBytes } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { openMounts } from "../../sys/mount.ts";
import { O_CREAT, O_EXCL, O_WRONLY } from "../../sys/open.ts";
import { setTimesFd } from "../../sys/rootfs/index.ts";
import { Root, toBytes } from "../files/root.ts";
import { makeLayer } from "../files/snapshot.ts";
import { refuseAborted } from "../files/turns.ts";
import { digestOf, type HttpSource } from "../graph.ts";
import type { BuildRequest, Execution, Executor } from "../types.ts";
import { redactUrl } from "./redact.ts";

const maxRedirects = 10;
/** A server that never ends must not fill the disk. */
const maxSize = 64 * 2 ** 30;
const maxName = 255;

/** What is remembered of a URL, and what this build has of it. */
interface Known {
  digest: Digest;
  etag?: string;
  lastModified?: string;
}
interface Download extends Known {
  /** The file; absent when the server said that nothing has changed. */
  path?: string;
}

export const httpExecutor: Executor<HttpSource> = {
  async contentKey(operation, execution) {
    if (operation.checksum !== undefined) return keyOf(operation, operation.checksum, undefined);
    const { digest, lastModified } = await inBuild(operation, execution, false);
    return keyOf(operation, digest, lastModified);
  },

  async execute(operation, execution) {
    const { digest, lastModified, path } = await inBuild(operation, execution, true);
    if (path === undefined)
      throw new CortenError("internal", `nothing was downloaded of ${redactUrl(operation.url)}`);
    const layer = await makeLayer(execution, [], async (mounts) => {
      using root = new Root(openMounts(mounts));
      await place(path, root, operation, lastModified);
    });
    const key = keyOf(operation, digest, operation.checksum === undefined ? lastModified : undefined);
    return { kind: "layers", key, layers: [layer] };
  },
};

const keyOf = ({ filename, mode }: HttpSource, digest: Digest, lastModified: string | undefined): Digest =>
  digestOf(["http", filename, mode, digest, lastModified]);

/** One download in a build, whoever asks first for its key or its content. */
const downloads = new WeakMap<BuildRequest, Map<string, Promise<Download>>>();

async function inBuild(operation: HttpSource, execution: Execution, body: boolean): Promise<Download> {
  const known = downloads.get(execution.request) ?? new Map<string, Promise<Download>>();
  downloads.set(execution.request, known);
  const key = execution.vertex.digest;
  const before = await known.get(key);
  if (before && (before.path !== undefined || !body)) return before;
  const download = fetchUrl(operation, execution, body);
  known.set(key, download);
  download.catch(() => known.delete(key));
  return download;
}

async function fetchUrl(operation: HttpSource, execution: Execution, body: boolean): Promise<Download> {
  const { services, signal, request } = execution;
  const memory = join(services.root, "http", createHash("sha256").update(operation.url).digest("hex"));
  const known = body ? undefined : recall(memory);
  const response = await follow(operation.url, known, request, signal);
  const shown = redactUrl(operation.url);
  try {
    if (response.status === 304 && known) return known;
    if (!response.ok || !response.body)
      throw new CortenError(
        response.status === 404 ? "not_found" : "unavailable",
        `failed to load ${shown}: invalid response status ${response.status}`,
      );
    const parent = join(services.root, "contexts");
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    const path = join(parent, `download-${randomBytes(8).toString("hex")}`);
    execution.defer(`remove the download of ${shown}`, () => rmSync(path, { force: true }));
    const digest = await save(response, path, execution);
    if (operation.checksum !== undefined && digest !== operation.checksum)
      throw new CortenError(
        "data_loss",
        `digest mismatch for ${shown}: ${digest} (expected: ${operation.checksum})`,
      );
    const etag = response.headers.get("etag");
    const lastModified = response.headers.get("last-modified");
    const found: Known = {
      digest,
      ...(etag ? { etag } : {}),
      ...(lastModified && !Number.isNaN(Date.parse(lastModified)) ? { lastModified } : {}),
    };
    remember(memory, found);
    return { ...found, path };
  } finally {
    await response.body?.cancel().catch(() => {});
  }
}

/** GET with redirects: to http and https only, and with credentials only for the host they were given for. */
async function follow(
  url: string,
  known: Known | undefined,
  request: BuildRequest,
  signal: AbortSignal,
): Promise<Response> {
  let at = new URL(url);
  const origin = at.host;
  const authorization = await credentialsFor(at, request);
  for (let redirects = 0; ; redirects++) {
    if (at.protocol !== "http:" && at.protocol !== "https:")
      throw invalid(`${redactUrl(url)} leads to ${at.protocol}, which is not followed`);
    const headers: Record<string, string> = { "user-agent": "corten" };
    if (authorization !== undefined && at.host === origin) headers["authorization"] = authorization;
    if (known?.etag !== undefined) headers["if-none-match"] = known.etag;
    else if (known?.lastModified !== undefined) headers["if-modified-since"] = known.lastModified;
    at.username = "";
    at.password = "";
    let response: Response;
    try {
      response = await fetch(at, { headers, redirect: "manual", signal });
    } catch (error) {
      refuseAborted(signal);
      throw new CortenError("unavailable", `failed to load ${redactUrl(url)}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel().catch(() => {});
    if (redirects >= maxRedirects)
      throw invalid(`${redactUrl(url)}: stopped after ${maxRedirects} redirects`);
    at = new URL(location, at);
  }
}

/** From the URL itself, or the secrets that BuildKit looks at. */
async function credentialsFor(url: URL, request: BuildRequest): Promise<string | undefined> {
  if (url.username !== "" || url.password !== "") {
    const plain = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(plain).toString("base64")}`;
  }
  const header = await request.secrets?.get(`HTTP_AUTH_HEADER_${url.hostname}`);
  if (header) return Buffer.from(header).toString().trim();
  const token = await request.secrets?.get(`HTTP_AUTH_TOKEN_${url.hostname}`);
  return token ? `Bearer ${Buffer.from(token).toString().trim()}` : undefined;
}

async function save(response: Response, path: string, execution: Execution): Promise<Digest> {
  const { progress, vertex, signal } = execution;
  const total = Number(response.headers.get("content-length") ?? 0) || 0;
  const started = new Date();
  const hash = createHash("sha256");
  const file = createWriteStream(path, { mode: 0o600 });
  const failed = new Promise<never>((_, fail) => file.once("error", fail));
  failed.catch(() => {});
  let current = 0;
  const report = (completed?: Date) =>
    progress.status({
      id: "downloading",
      vertex: vertex.digest,
      name: "downloading",
      current,
      total,
      timestamp: new Date(),
      started,
      ...(completed ? { completed } : {}),
    });
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      refuseAborted(signal);
      current += chunk.length;
      if (current > maxSize)
        throw new CortenError("resource_exhausted", `a download is larger than ${maxSize} bytes`);
      hash.update(chunk);
      if (!file.write(chunk)) await Promise.race([new Promise<void>((go) => file.once("drain", go)), failed]);
      report();
    }
    await Promise.race([new Promise<void>((done) => file.end(() => done())), failed]);
    report(new Date());
    return `sha256:${hash.digest("hex")}`;
  } catch (error) {
    file.destroy();
    rmSync(path, { force: true });
    refuseAborted(signal);
    throw error;
  }
}

/** The file into the layer, with the server's time of its last change, or 1970. */
async function place(
  path: string,
  root: Root,
  operation: HttpSource,
  lastModified: string | undefined,
): Promise<void> {
  const { filename, mode = 0o600 } = operation;
  if (
    filename === "" ||
    filename === "." ||
    filename === ".." ||
    filename.includes("/") ||
    filename.length > maxName
  )
    throw invalid(`${JSON.stringify(filename)} is no name for a downloaded file`);
  const fd = root.open(toBytes(filename), O_WRONLY | O_CREAT | O_EXCL, 0o600);
  if (fd < 0) throw new SyscallError("open", -fd, filename);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>)
      for (let at = 0; at < chunk.length; ) {
        const wrote = rawSyscall("write", fd, chunk.subarray(at), chunk.length - at);
        if (wrote < 0) throw new SyscallError("write", -wrote, filename);
        at += wrote;
      }
    const changed = rawSyscall("fchmod", fd, mode);
    if (changed < 0) throw new SyscallError("chmod", -changed, filename);
    const time = lastModified === undefined ? 0n : BigInt(Date.parse(lastModified)) * 1_000_000n;
    setTimesFd(fd, time, time);
  } finally {
    rawSyscall("close", fd);
  }
}

function recall(path: string): Known | undefined {
  try {
    const known = JSON.parse(readFileSync(path, "utf8")) as Known;
    const isUseful = known.etag !== undefined || known.lastModified !== undefined;
    return isUseful && /^sha256:[0-9a-f]{64}$/.test(known.digest) ? known : undefined;
  } catch {
    return undefined;
  }
}

function remember(path: string, known: Known): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(4).toString("hex")}`;
  writeFileSync(temporary, JSON.stringify(known), { mode: 0o600 });
  renameSync(temporary, path);
}
