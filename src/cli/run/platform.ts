/** `--platform`: `os/arch[/variant]` or one word, made canonical as containerd's platforms package does. */
import { CortenError } from "../../base/errors.ts";
import { goQuote } from "../format/quote.ts";

const architectures: Record<string, [arch: string, variant: string]> = {
  i386: ["386", ""],
  x86_64: ["amd64", ""],
  "x86-64": ["amd64", ""],
  aarch64: ["arm64", ""],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
const knownArchitectures = new Set([
  "386",
  "amd64",
  "arm",
  "arm64",
  "loong64",
  "mips",
  "mips64",
  "mips64le",
  "mipsle",
  "ppc",
  "ppc64",
  "ppc64le",
  "riscv",
  "riscv64",
  "s390",
  "s390x",
  "wasm",
]);
const knownSystems = new Set([
  "linux",
  "windows",
  "darwin",
  "freebsd",
  "netbsd",
  "openbsd",
  "solaris",
  "android",
  "wasip1",
  "js",
]);

export function parsePlatform(text: string): string {
  const fail = (reason: string) =>
    new CortenError("invalid_argument", `error parsing specified platform: ${goQuote(text)}: ${reason}`);
  if (text.includes("*")) throw fail("wildcards not yet supported: invalid argument");
  const parts = text.split("/");
  const bad = parts.find((part) => !/^[A-Za-z0-9_.-]+$/.test(part));
  if (bad !== undefined)
    throw new CortenError(
      "invalid_argument",
      `error parsing specified platform: ${goQuote(bad)} is an invalid component of ${goQuote(text)}: "" must match "^[A-Za-z0-9_.-]+$": invalid argument`,
    );
  const words = parts.map((part) => part.toLowerCase());
  if (words.length > 3) throw fail("cannot parse platform specifier: invalid argument");
  if (words.length === 1) {
    const word = words[0]!;
    if (knownSystems.has(word)) return join(word, process.arch === "x64" ? "amd64" : process.arch, "");
    const [arch, variant] = architectures[word] ?? [word, ""];
    if (!knownArchitectures.has(arch))
      throw fail("unknown operating system or architecture: invalid argument");
    return join("linux", arch, variant);
  }
  const [os, name, given = ""] = words as [string, string, string?];
  const [arch, variant] = architectures[name] ?? [name, ""];
  const shown = join(os, arch, given || variant);
  // Given in full, the usual variant of arm64 stays.
  return words.length === 3 && shown.endsWith("/arm64") ? `${shown}/v8` : shown;
}

/** The usual variant is left out. */
function join(os: string, arch: string, variant: string): string {
  let shown = variant;
  if (arch === "arm64" && (shown === "8" || shown === "v8")) shown = "";
  if (arch === "amd64" && shown === "v1") shown = "";
  if (arch === "arm") shown = /^[5-8]$/.test(shown) ? `v${shown}` : shown || "v7";
  return [os === "macos" ? "darwin" : os, arch, shown].filter((part) => part !== "").join("/");
}
