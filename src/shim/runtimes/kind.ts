import { spawn } from "node:child_process";

/** What a runtime says of itself with `--version`, which all of them have. */
export interface RuntimeKind {
  /** `runc`, `crun`, `runsc`, `youki`, …; empty when it does not say. */
  name: string;
  /** Numbers of its version; empty for builds without one. */
  version: number[];
}

/** The oldest with the command line that is used here (`--pid-file`, `--console-socket`, `update --resources`). */
const oldest: Record<string, number[]> = { runc: [1, 0, 0], crun: [0, 15], youki: [0, 1, 0] };

const known = new Map<string, Promise<RuntimeKind>>();

/** Asked once for each program. */
export function kindOf(binary: string): Promise<RuntimeKind> {
  let kind = known.get(binary);
  if (!kind) {
    kind = versionText(binary).then(parseKind);
    known.set(binary, kind);
  }
  return kind;
}

/** `runc version 1.1.5+ds1` and the like, in the first line that says it. */
export function parseKind(text: string): RuntimeKind {
  const [, name = "", version = ""] = /^(\w[\w-]*) version:? (\S*)/m.exec(text) ?? [];
  const numbers = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version);
  return { name, version: numbers ? numbers.slice(1).filter(Boolean).map(Number) : [] };
}

/** Why a runtime cannot be used, when that is its age; undefined when it is not, or does not tell. */
export function tooOld({ name, version }: RuntimeKind): string | undefined {
  const least = oldest[name];
  if (!least || version.length === 0) return undefined;
  const older = least.findIndex((part, at) => (version[at] ?? 0) !== part);
  if (older < 0 || (version[older] ?? 0) > least[older]!) return undefined;
  return `${name} ${version.join(".")} is too old: ${least.join(".")} is needed`;
}

function versionText(binary: string): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(binary, ["--version"], { stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      if (text.length < 4096) text += part;
    });
    child.on("error", () => resolve(""));
    child.on("close", () => resolve(text));
  });
}
