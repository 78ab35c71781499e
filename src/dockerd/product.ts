import manifest from "../../package.json";

/** What this program says of itself. */
export const product = {
  name: "Corten",
  version: manifest.version,
  commit: process.env["CORTEN_COMMIT"] ?? "HEAD",
  buildTime: "2026-01-01T00:00:00.000000000+00:00",
  runtime: `bun${process.versions["bun"] ?? ""}`,
} as const;

const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64" };
/** The machine in Go's and OCI's words. */
export const goArch = architectures[process.arch] ?? process.arch;
/** The same in uname's. */
export const unameArch =
  process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch;
