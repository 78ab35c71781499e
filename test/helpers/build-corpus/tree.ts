/** The trees of images, read from the layers of an archive as `docker save` writes it. */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { type TarEntry, TarReader } from "../../../src/archive/tar/index.ts";
import { contextTime, type ImageConfig } from "./case.ts";

interface Entry {
  type: TarEntry["type"];
  mode: number;
  owner: string;
  link: string;
  time: number;
  data: Buffer;
  device: string;
  xattrs: string;
}
type Tree = Map<string, Entry>;

const limits = { maxEntries: 100_000, maxHeaderSize: 1 << 20, maxPathLength: 4096, maxSize: 1 << 30 };

function membersOf(archive: Uint8Array): Array<TarEntry & { data: Buffer }> {
  const members: Array<TarEntry & { data: Buffer }> = [];
  let pieces: Uint8Array[] = [];
  const reader = new TarReader(
    {
      entry: (entry) => {
        pieces = [];
        members.push({ ...entry, data: Buffer.alloc(0) });
      },
      data: (bytes) => {
        pieces.push(Buffer.from(bytes));
      },
      end: () => {
        members.at(-1)!.data = Buffer.concat(pieces);
      },
    },
    limits,
  );
  reader.push(archive);
  reader.finish();
  return members;
}

const text = (latin: string) => Buffer.from(latin, "latin1").toString();
const absolute = (path: string) =>
  `/${text(path)
    .replace(/^(\.?\/)+|^\.$/, "")
    .replace(/\/+$/, "")}`;

function removeUnder(tree: Tree, path: string): void {
  for (const name of tree.keys()) if (name.startsWith(path === "/" ? "/" : `${path}/`)) tree.delete(name);
}

/** Puts a layer onto a tree, as OCI's image specification says ("Applying Changesets"). */
function apply(tree: Tree, layer: Uint8Array): void {
  const members = membersOf(layer[0] === 0x1f && layer[1] === 0x8b ? gunzipSync(layer) : layer);
  for (const { path } of members) {
    const [, parent, hidden] = /^(.*)\/\.wh\.([^/]+)$/.exec(absolute(path)) ?? [];
    if (hidden === undefined) continue;
    if (hidden === ".wh..opq") removeUnder(tree, parent || "/");
    else {
      removeUnder(tree, `${parent}/${hidden}`);
      tree.delete(`${parent}/${hidden}`);
    }
  }
  for (const member of members) {
    const path = absolute(member.path);
    if (path === "/" || /\/\.wh\.[^/]+$/.test(path)) continue;
    if (member.type !== "directory") removeUnder(tree, path);
    tree.set(path, {
      type: member.type,
      mode: member.mode & 0o7777,
      owner: `${member.uid}:${member.gid}`,
      link: member.type === "link" ? absolute(member.linkPath) : text(member.linkPath),
      time: Math.floor(Number(member.mtimeNs / 1_000_000n) / 1000),
      data: member.data,
      device: `${member.major},${member.minor}`,
      xattrs: member.xattrs.map(({ name, value }) => `${name}=${Buffer.from(value).toString("hex")}`).join(),
    });
  }
}

const printable = (data: Buffer) =>
  data.length <= 400 && /^[\t\n\r\x20-\x7e]*$/.test(data.toString("latin1"))
    ? `=${data.toString()}`
    : `sha256:${createHash("sha256").update(data).digest("hex").slice(0, 16)} ${data.length}`;

/** Names of one file are told of the first of them in order, whichever the archive has first. */
function linked(tree: Tree): Map<string, string> {
  const groups = new Map<string, string[]>();
  for (const [path, entry] of tree)
    if (entry.type === "link") groups.set(entry.link, [...(groups.get(entry.link) ?? [entry.link]), path]);
  const first = new Map<string, string>();
  for (const names of groups.values()) {
    const [head, ...rest] = names.sort();
    for (const name of rest) first.set(name, head!);
  }
  return first;
}

/** Entries of the base image come with every case; their content is looked at once. */
const contents = new WeakMap<Entry, string>();
function contentOf(entry: Entry): string {
  const known = contents.get(entry) ?? printable(entry.data);
  contents.set(entry, known);
  return known;
}

function describe(tree: Tree): Map<string, { line: string; time: number; directory: boolean }> {
  const first = linked(tree);
  const out = new Map<string, { line: string; time: number; directory: boolean }>();
  for (const [path, listed] of tree) {
    const entry = listed.type === "link" ? (tree.get(listed.link) ?? listed) : listed;
    const owner = entry.owner === "0:0" ? "" : ` ${entry.owner}`;
    const mode = `${entry.mode.toString(8)}${owner}${entry.xattrs && ` ${entry.xattrs}`}`;
    const directory = entry.type === "directory";
    const line = first.has(path)
      ? `same as ${first.get(path)}`
      : entry.type === "symlink"
        ? `-> ${entry.link}${owner}`
        : entry.type === "file"
          ? `${mode} ${contentOf(entry)}`
          : directory
            ? mode
            : `${entry.type}${entry.type === "fifo" ? "" : ` ${entry.device}`} ${mode}`;
    out.set(directory ? `${path}/` : path, { line, time: entry.time, directory });
  }
  return out;
}

type Described = Map<string, { line: string; time: number; directory: boolean }>;

export interface ReadImage {
  config: ImageConfig;
  author: string;
  platform: string;
  /** Layers above those of the base. */
  layers: number;
  tree: Record<string, string>;
  /** What has an older time than the tests, of those that are in `tree`: `T` for the contexts' time, or seconds. */
  times: Record<string, string>;
}

interface ConfigFile {
  author?: string;
  os: string;
  architecture: string;
  variant?: string;
  config?: Record<string, unknown>;
  rootfs: { diff_ids: string[] | null };
}

const kept = [
  "Env",
  "Cmd",
  "Entrypoint",
  "Labels",
  "User",
  "WorkingDir",
  "ExposedPorts",
  "Volumes",
  "Healthcheck",
  "Shell",
  "OnBuild",
  "StopSignal",
] as const;

/** Fields that say something, without what each builder notes of itself. */
function normalized(raw: Record<string, unknown>): ImageConfig {
  const config: Record<string, unknown> = {};
  for (const key of kept) {
    let value = raw[key];
    if (key === "Labels" && value) {
      const { "io.buildah.version": _, ...labels } = value as Record<string, string>;
      value = labels;
    }
    if (value === undefined || value === null || value === "") continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    config[key] = value;
  }
  return config as ImageConfig;
}

export interface Base {
  diffIds: string[];
  entries: Tree;
  tree: Described;
}

/** Opens the only image of an archive; layers of `base` are not read again. */
function open(archive: Uint8Array, base?: Base): Base & { config: ConfigFile; onBase: boolean } {
  const byName = new Map(membersOf(archive).map((member) => [member.path, member]));
  const file = (name: string): Buffer => {
    const member = byName.get(name);
    if (!member) throw new Error(`the archive has no ${name}`);
    // docker 20.10 writes a layer that comes twice as a link to the first.
    return member.type === "symlink"
      ? file(new URL(member.linkPath, `file:///${name}`).pathname.slice(1))
      : member.data;
  };
  const [manifest] = JSON.parse(file("manifest.json").toString()) as [
    { Config: string; Layers: string[] | null },
  ];
  const config = JSON.parse(file(manifest.Config).toString()) as ConfigFile;
  const diffIds = config.rootfs.diff_ids ?? [];
  const onBase = base?.diffIds.every((id, at) => diffIds[at] === id) ?? false;
  const entries: Tree = new Map(onBase ? base?.entries : []);
  for (const layer of (manifest.Layers ?? []).slice(onBase ? base?.diffIds.length : 0))
    apply(entries, file(layer));
  return { config, diffIds, onBase, entries, tree: describe(entries) };
}

export const readBase = (archive: Uint8Array): Base => open(archive);

/** Reads the only image of an archive; what it has of `base` is left out of its tree. */
export function readImage(archive: Uint8Array, base: Base): ReadImage {
  const { config, diffIds, tree, onBase } = open(archive, base);
  const below: Described = onBase ? base.tree : new Map();
  const shown: Record<string, string> = {};
  const times: Record<string, string> = {};
  for (const [path, { line, time, directory }] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const old = below.get(path);
    if (old && old.line === line && (directory || old.time === time)) continue;
    shown[path] = line;
    if (time < startOfTests) times[path] = time === contextTime ? "T" : String(time);
  }
  for (const path of below.keys()) if (!tree.has(path)) shown[path] = "gone";
  return {
    config: normalized(config.config ?? {}),
    author: config.author ?? "",
    platform: [config.os, config.architecture, config.variant].filter(Boolean).join("/"),
    layers: diffIds.length - (onBase ? base.diffIds.length : 0),
    tree: shown,
    times,
  };
}

const startOfTests = Date.now() / 1000 - 3600;
