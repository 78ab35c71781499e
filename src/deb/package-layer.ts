/** One .deb → one layer. */

import { CortenError } from "../base/errors.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image-spec.ts";
import { readAr } from "./ar.ts";
import { compressionOf, decompress } from "./decompress.ts";
import { LayerWriter, regularFile } from "./layer-writer.ts";
import { recipesOf } from "./recipes/index.ts";
import { readTar, type TarEntry } from "./tar.ts";
import type { ContentSink } from "./types.ts";
import { mergedPath, mergedTarget, normalPath } from "./usr-merge.ts";

/** Part of the cache's keys: to be raised with every change in what is composed of the same package. */
export const composerVersion = 3;

/** A composed package, and what of it decides how the image is run. */
export interface PackageLayer {
  digest: Digest;
  size: number;
  /** The latest time in the package: when it was built. */
  mtime: number;
  /** Paths of executables in the usual places. */
  executables: string[];
  /** ExecStart of units whose service stays in the foreground. */
  services: Record<string, string>;
}

const maxControlSize = 32 * 1024 * 1024;
const maxDataSize = 16 * 1024 * 1024 * 1024;
const maxReadSize = 8 * 1024 * 1024;

/** Documentation that nobody reads in a container. Copyright files stay: their licences ask for it. */
export function isDropped(path: string): boolean {
  if (/^usr\/share\/(man|info|lintian|doc-base|bug)(\/|$)/.test(path)) return true;
  return /^usr\/share\/doc\/[^/]+\/(?!copyright$)/.test(path);
}

/** Composes the layer of a package and puts it into the sink. The same .deb always gives the same layer. */
export async function composePackage(
  name: string,
  deb: AsyncIterable<Uint8Array>,
  sink: ContentSink,
  cacheDir: string,
): Promise<PackageLayer> {
  await using layer = await LayerWriter.create(cacheDir);
  const control = new Map<string, Buffer>();
  const found: Found = { mtime: 0, executables: [], services: {} };
  let complete = false;
  for await (const member of readAr(deb)) {
    const compression = compressionOf(member.name);
    if (member.name.startsWith("control.tar")) {
      for await (const { entry, body } of readTar(decompress(member.bytes, compression, maxControlSize)))
        if (entry.type === "file") control.set(normalPath(entry.path) ?? "", await collect(body));
    } else if (member.name.startsWith("data.tar")) {
      await addData(name, layer, decompress(member.bytes, compression, maxDataSize), found);
      complete = true;
    }
  }
  const paragraph = control.get("control");
  if (!complete || !paragraph) throw new CortenError("data_loss", `the .deb of ${name} is not complete`);
  // Scanners read this in place of /var/lib/dpkg/status, as distroless images have it.
  for (const [suffix, content] of [
    ["", paragraph],
    [".md5sums", control.get("md5sums")],
  ] as const)
    if (content)
      await layer.add(
        regularFile(`var/lib/dpkg/status.d/${name}${suffix}`, 0o644, found.mtime, content.length),
        content,
      );
  const { digest, size }: Descriptor = await layer.finish(sink);
  return { digest, size, ...found };
}

interface Found {
  mtime: number;
  executables: string[];
  services: Record<string, string>;
}

async function addData(
  name: string,
  layer: LayerWriter,
  data: AsyncIterable<Uint8Array>,
  found: Found,
): Promise<void> {
  const recipes = recipesOf(name);
  const kept = new Map<string, Buffer>();
  for await (const { entry: original, body } of readTar(data)) {
    found.mtime = Math.max(found.mtime, original.mtime);
    layer.mtime ||= original.mtime;
    const entry = movedEntry(original);
    if (!entry || isDropped(entry.path)) continue;
    const unit = /^usr\/lib\/systemd\/system\/([^/@]+)\.service$/.exec(entry.path)?.[1];
    if (entry.type === "file" && (unit !== undefined || recipes.some(({ reads }) => reads?.(entry.path)))) {
      if (entry.size > maxReadSize)
        throw new CortenError("resource_exhausted", `${name}: ${entry.path} is too large`);
      const content = await collect(body);
      if (unit === undefined) kept.set(entry.path, content);
      else {
        const command = foregroundCommand(content.toString("utf8"));
        if (command) found.services[unit] = command;
      }
      await layer.add(entry, content);
    } else await layer.add(entry, body);
    if (isExecutable(entry)) found.executables.push(entry.path);
  }
  for (const recipe of recipes)
    for (const { entry, body } of recipe.additions?.(kept, found.mtime) ?? []) await layer.add(entry, body);
}

function movedEntry(entry: TarEntry): TarEntry | undefined {
  const path = normalPath(entry.path);
  if (path === undefined) return undefined;
  const moved = mergedPath(path);
  if (moved !== path && !moved.slice("usr/".length).includes("/"))
    // /bin and its like are links: newer base-files bring the links themselves, older packages directories.
    return entry.type === "symlink" ? { ...entry, path } : undefined;
  let { target } = entry;
  if (entry.type === "link") target = mergedPath(normalPath(target) ?? "");
  else if (entry.type === "symlink") target = mergedTarget(target, path, moved);
  return { ...entry, path: moved, target };
}

const isExecutable = (entry: TarEntry): boolean =>
  /^usr\/(local\/)?(s?bin|games)\/[^/]+$/.test(entry.path) &&
  (entry.type === "symlink" ||
    entry.type === "link" ||
    (entry.type === "file" && (entry.mode & 0o111) !== 0));

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(bytes));
}

/** ExecStart of a unit (systemd.service(5)), when it is one command that stays in the foreground. */
export function foregroundCommand(unit: string): string | undefined {
  const service = /^\[Service\]\s*$([\s\S]*?)(?=^\[|$(?![\s\S]))/m.exec(unit)?.[1] ?? "";
  const values = (key: string) =>
    [...service.replace(/\\\n\s*/g, " ").matchAll(new RegExp(`^${key}\\s*=\\s*(.*)$`, "gm"))].map((match) =>
      match[1]!.trim(),
    );
  const type = values("Type").at(-1) ?? "simple";
  if (!["simple", "exec", "notify", "notify-reload"].includes(type)) return undefined;
  const commands = values("ExecStart").filter((command) => command !== "");
  return commands.length === 1 ? commands[0] : undefined;
}
