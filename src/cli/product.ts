/** What this program says about itself. */

import manifest from "../../package.json" with { type: "json" };
import { defaultApiVersion } from "../engine/version.ts";

export const productVersion: string = manifest.version;

/** The commit it was built from, put in by the build (`--define`); unknown in development. */
export const commit: string = process.env["CORTEN_COMMIT"] ?? "unknown";

export function versionLine(program: string): string {
  const name = program.slice(0, 1).toUpperCase() + program.slice(1);
  return `${name} version ${productVersion}, build ${commit}`;
}

/** The client half of `version`, with the names its templates use. */
export function clientVersion(context: string, apiVersion: string) {
  return {
    Version: productVersion,
    ApiVersion: apiVersion,
    DefaultAPIVersion: defaultApiVersion,
    GitCommit: commit,
    GoVersion: `bun${Bun.version}`,
    BuildTime: process.env["CORTEN_BUILD_TIME"] ?? "",
    Os: process.platform,
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    Context: context,
  };
}
