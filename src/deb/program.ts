/** Chooses what an image of packages runs, from what the packages say of themselves. */
import type { PackageLayer } from "./package-layer.ts";
import { type Program, recipesOf } from "./recipes/index.ts";

export interface ProgramPackage {
  name: string;
  sourceName: string;
  requested: boolean;
  layer: PackageLayer;
}

export interface Start {
  entrypoint?: string[];
  cmd?: string[];
  exposedPorts: string[];
  stopSignal?: string;
}

/**
 * One program becomes the entrypoint. A shell becomes the command alone, so that `run IMAGE other command` works;
 * so does a service in an image that has a shell as well. Several tools and no shell: nothing is chosen.
 * Depends on the set of packages only, not on their order.
 */
export function chooseStart(packages: readonly ProgramPackage[]): Start {
  const programs = packages
    .filter(({ requested }) => requested)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((one) => programOf(one, packages) ?? []);
  const services = programs.filter(({ kind }) => kind === "service");
  const shells = programs.filter(({ kind }) => kind === "shell");
  const [only] = programs;
  const [service] = services;
  if (service && services.length === 1)
    return {
      ...(shells.length > 0 ? { cmd: service.argv } : split(service.argv)),
      exposedPorts: service.exposedPorts ?? [],
      ...(service.stopSignal && { stopSignal: service.stopSignal }),
    };
  if (shells[0]) return { cmd: shells[0].argv, exposedPorts: [] };
  if (only && programs.length === 1) return { ...split(only.argv), exposedPorts: [] };
  return { exposedPorts: [] };
}

const split = ([program = "", ...rest]: string[]): Pick<Start, "entrypoint" | "cmd"> => ({
  entrypoint: [program],
  ...(rest.length > 0 && { cmd: rest }),
});

function programOf(one: ProgramPackage, all: readonly ProgramPackage[]): Program | undefined {
  const program = recipesOf(one.name).find((recipe) => recipe.program)?.program;
  if (program) return program;
  // A metapackage's program is in a package of the same source: python3 → python3-minimal.
  const own = all.filter((other) => other === one || other.sourceName === one.sourceName);
  for (const name of namesOf(one.name)) {
    for (const { layer } of own) {
      const argv = argvOf(layer.services[name]);
      if (argv) return { kind: "service", argv };
    }
    for (const { layer } of own) {
      const path = layer.executables.find((executable) => executable.endsWith(`/${name}`));
      if (path) return { kind: "tool", argv: [`/${path}`] };
    }
  }
  const { executables } = one.layer;
  return executables.length === 1 ? { kind: "tool", argv: [`/${executables[0]}`] } : undefined;
}

/** The package's name and its beginnings: `python3-minimal`, `python3`. */
function namesOf(name: string): string[] {
  const names = [name];
  for (let dash = name.lastIndexOf("-"); dash > 0; dash = name.lastIndexOf("-", dash - 1))
    names.push(name.slice(0, dash));
  return names;
}

/** The words of an ExecStart without systemd's prefixes and what its environment would fill in. */
export function argvOf(command: string | undefined): string[] | undefined {
  if (!command) return undefined;
  const words = [...command.replace(/^[-@:+!|]+/, "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, plain]) => double ?? single ?? plain ?? "")
    .filter((word) => !/^\$\{?\w+\}?$/.test(word));
  if (words.some((word) => /[$%]/.test(word.replaceAll("%%", "")))) return undefined;
  return words[0]?.startsWith("/") ? words.map((word) => word.replaceAll("%%", "%")) : undefined;
}
