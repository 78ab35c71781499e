/** What is removed at a start: containers after a reboot, images after an upgrade, everything after a crash of the machine. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { CrioConfig } from "./config/types.ts";
import { version } from "./version.ts";

export interface WipeSigns {
  /** What the files say; undefined where there is none, and not looked for where the setting is empty. */
  versionFile: { configured: boolean; text: string | undefined };
  persistentFile: { configured: boolean; text: string | undefined };
  /** The machine went down before our files were safe on disk. */
  unclean: boolean;
}

export interface WipeDecision {
  containers: boolean;
  images: boolean;
  /** The whole storage directory goes. */
  storage: boolean;
}

/** The version file lies where a reboot removes it; the other one, where only an upgrade changes it. */
export function decideWipe(signs: WipeSigns, version: string): WipeDecision {
  const containers = differs(signs.versionFile, version);
  return {
    containers,
    images: containers && differs(signs.persistentFile, version),
    storage: containers && signs.unclean,
  };
}

function differs({ configured, text }: WipeSigns["versionFile"], version: string): boolean {
  if (!configured) return false;
  const before = /^"(\d+)\.(\d+)\.\d+/.exec(text?.trim() ?? "");
  const now = /^(\d+)\.(\d+)\./.exec(version);
  return !before || before[1] !== now?.[1] || before[2] !== now?.[2];
}

export const wipeVersion = version;

/** Beside the file of a clean end: it says that one may be expected. */
const supportedFile = (config: CrioConfig) => `${config.clean_shutdown_file}.supported`;

export function readSigns(config: CrioConfig): WipeSigns {
  const read = (path: string) => ({
    configured: path !== "",
    text: path !== "" && existsSync(path) ? readFileSync(path, "utf8") : undefined,
  });
  return {
    versionFile: read(config.version_file),
    persistentFile: read(config.version_file_persist),
    unclean:
      config.clean_shutdown_file !== "" &&
      existsSync(supportedFile(config)) &&
      !existsSync(config.clean_shutdown_file),
  };
}

function writeDurably(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, text, { mode: 0o644, flush: true });
  renameSync(`${path}.new`, path);
  syncDirectory(dirname(path));
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** From here on an end without a word is an unclean one. */
export function markRunning(config: CrioConfig): void {
  for (const path of [config.version_file, config.version_file_persist])
    if (path !== "") writeDurably(path, JSON.stringify(wipeVersion));
  if (config.clean_shutdown_file === "") return;
  rmSync(config.clean_shutdown_file, { force: true });
  writeDurably(supportedFile(config), "");
}

export function markClean(config: CrioConfig): void {
  if (config.clean_shutdown_file !== "") writeDurably(config.clean_shutdown_file, "");
}
