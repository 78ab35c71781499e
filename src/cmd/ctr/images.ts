import { invalid, isCode } from "../../base/errors.ts";
import {
  type ContainerdClient,
  fromDescriptor,
  pull,
  readImage,
  readManifest,
} from "../../containerd/client/index.ts";
import { readJson } from "../../containerd/client/read-image.ts";
import { type Descriptor, type Index, isIndexType, type Platform } from "../../oci/image-spec.ts";
import { createResolver } from "../../registry/index.ts";
import { parseFlags } from "./flags.ts";
import { binarySize, labelText, narrow, tabulate } from "./table.ts";

const platformText = ({ os, architecture, variant }: Platform) =>
  [os, architecture, architecture === "arm64" && variant === "v8" ? "" : variant].filter(Boolean).join("/");

/** `ctr images pull [--plain-http] [--user NAME:PASSWORD] [--platform P] [--snapshotter S] [--label K=V] REF` */
export async function pullImage(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, {
    "plain-http": "boolean",
    "skip-verify,k": "boolean",
    "user,u": "string",
    "hosts-dir": "string",
    platform: "string",
    snapshotter: "string",
    label: "list",
    local: "boolean",
  });
  const ref = flags.args[0];
  if (!ref) throw invalid("please provide an image reference to pull");
  const [username = "", ...password] = (flags.get("user") ?? "").split(":");
  const resolver = createResolver({
    plainHttp: flags.is("plain-http"),
    ...(flags.is("skip-verify") ? { tls: { insecureSkipVerify: true } } : {}),
    ...(username ? { credentials: () => ({ username, password: password.join(":") }) } : {}),
  });
  const [os, architecture, variant] = (flags.get("platform") ?? "").split("/");
  const started = performance.now();
  let unpacking = 0;
  try {
    const { content } = await pull(client, {
      ref,
      resolver,
      snapshotter: flags.get("snapshotter") ?? "overlayfs",
      ...(os && architecture ? { platform: { os, architecture, ...(variant ? { variant } : {}) } } : {}),
      labels: Object.fromEntries(flags.list("label").map(pair)),
      onResolved: (name, target) => {
        process.stdout.write(`${name}: resolved\nmanifest-${target.digest}: found\n`);
      },
      onProgress: ({ digest, status }) => {
        if (status === "Download complete") process.stdout.write(`layer-${digest}: done\n`);
        if (status === "Already exists") process.stdout.write(`layer-${digest}: exists\n`);
        if (status === "Extracting" && unpacking === 0) unpacking = performance.now();
      },
    });
    const { os: system, architecture: machine } = content.config;
    process.stdout.write(`unpacking ${system}/${machine} ${content.target.digest}...\n`);
    process.stdout.write(`done: ${Math.round(performance.now() - (unpacking || started))}ms\n`);
  } finally {
    resolver.close();
  }
  return 0;
}

export const pair = (text: string): [string, string] => {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
};

/** `ctr images ls [-q] [FILTER…]` */
export async function listImages(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "quiet,q": "boolean" });
  const { images } = await client.images.list({ filters: flags.args });
  images.sort((a, b) => (a.name < b.name ? -1 : 1));
  if (flags.is("quiet")) {
    for (const image of images) process.stdout.write(`${image.name}\n`);
    return 0;
  }
  const lines = ["REF\tTYPE\tDIGEST\tSIZE\tPLATFORMS\tLABELS\t"];
  for (const image of images) {
    const target = fromDescriptor(image.target);
    const size = await sizeOf(client, target);
    const platforms = await platformsOf(client, target);
    const fields = [
      image.name,
      target.mediaType,
      target.digest,
      size === undefined ? "-" : binarySize(size),
      platforms || "-",
      labelText(image.labels) || "-",
    ];
    lines.push(`${fields.join("\t")}\t`);
  }
  process.stdout.write(tabulate(lines, narrow));
  return 0;
}

async function ifPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

async function sizeOf(client: ContainerdClient, target: Descriptor): Promise<number | undefined> {
  const found = await ifPresent(readManifest(client, target));
  if (!found) return undefined;
  const { descriptor, manifest } = found;
  const parts = [descriptor, manifest.config, ...manifest.layers];
  const index = descriptor.digest === target.digest ? 0 : target.size;
  return parts.reduce((sum, part) => sum + part.size, index);
}

async function platformsOf(client: ContainerdClient, target: Descriptor): Promise<string> {
  if (!isIndexType(target.mediaType)) {
    const image = await ifPresent(readImage(client, target));
    return image ? platformText(image.config) : "";
  }
  const index = await ifPresent(readJson<Index>(client, target.digest, "index"));
  const all = (index?.manifests ?? []).flatMap(({ platform }) => (platform ? [platformText(platform)] : []));
  return [...new Set(all)].sort().join(",");
}

/** `ctr images rm [--sync] REF…` */
export async function removeImages(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { sync: "boolean" });
  for (const [at, name] of flags.args.entries()) {
    try {
      const sync = flags.is("sync") && at === flags.args.length - 1;
      await client.images.delete({ name, sync });
      process.stdout.write(`${name}\n`);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
      process.stderr.write(
        `time="${new Date().toISOString()}" level=warning msg="${name}: image not found"\n`,
      );
    }
  }
  return 0;
}
