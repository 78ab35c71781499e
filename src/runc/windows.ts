/** Configurations for Windows (runtime-spec: config-windows.md, config.md): checked and explained here, run by nothing on Linux. */
import { invalid, unimplemented } from "../base/errors.ts";
import type { Mount, Process, Spec } from "../oci/runtime-spec.ts";
import { list, object } from "./fields.ts";

/** True for a configuration that is for Windows alone; one with `linux` as well is of a Linux container in a utility machine. */
export const isForWindows = (spec: Spec): boolean => spec.windows !== undefined && spec.linux === undefined;

/** Refuses to run what only Windows can. */
export function refuseWindows(spec: Spec): void {
  if (isForWindows(spec))
    throw unimplemented(
      "this configuration is for a Windows container (it has `windows` and no `linux`): only a runtime on Windows (runhcs) can run it; `corten runc explain` checks and explains it",
    );
}

/** What a runtime on Windows would do with it, one line per field; throws for what the specification forbids. */
export function explainWindows(spec: Spec): string[] {
  const windows = object(spec.windows, "windows");
  const lines: string[] = [];
  const say = (what: string, field: string) => lines.push(`windows  ${what}  [${field}]`);

  const hyperv = windows["hyperv"] === undefined ? undefined : object(windows["hyperv"], "windows.hyperv");
  if (hyperv) {
    if (spec.root) throw invalid("root must not be set for a container in a Hyper-V machine");
    const image = optionalString(hyperv["utilityVMPath"], "windows.hyperv.utilityVMPath");
    say(
      `make a utility machine${image ? ` from ${image}` : " from the base layer's image"}`,
      "windows.hyperv",
    );
  } else {
    const path = spec.root?.path;
    if (!path) throw invalid("root.path is required for a container with process isolation");
    if (!/^\\\\\?\\Volume\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}\\?$/.test(path))
      throw invalid(
        `root.path ${JSON.stringify(path)} is no volume: it must look like \\\\?\\Volume{GUID}\\`,
      );
    if (spec.root?.readonly) throw invalid("root.readonly must not be true on Windows");
    say("make a server silo", "windows");
    say(`use ${path} as the root`, "root.path");
  }

  const layers = strings(windows["layerFolders"], "windows.layerFolders");
  if (layers.length === 0) throw invalid("windows.layerFolders must name at least one folder");
  const [scratch, ...parents] = [...layers].reverse();
  say(`put the scratch layer ${scratch} over ${parents.length} read-only layers`, "windows.layerFolders");

  if (spec.hostname) say(`set the host name to ${spec.hostname}`, "hostname");
  for (const [index, mount] of (spec.mounts ?? []).entries())
    say(explainMount(mount, index), `mounts[${index}]`);
  for (const [index, device] of list(windows["devices"], "windows.devices").entries()) {
    const where = `windows.devices[${index}]`;
    const { id, idType } = object(device, where);
    if (idType !== "class") throw invalid(`${where}.idType must be "class"`);
    if (typeof id !== "string" || id === "")
      throw invalid(`${where}.id must be the GUID of an interface class`);
    say(`give the devices of interface class ${id}`, where);
  }
  explainResources(windows["resources"], say);
  explainNetwork(windows["network"], say);
  if (windows["credentialSpec"] !== undefined) {
    object(windows["credentialSpec"], "windows.credentialSpec");
    say("join the domain as the group-managed service account", "windows.credentialSpec");
  }
  for (const flag of ["servicing", "ignoreFlushesDuringBoot"]) {
    const value = windows[flag];
    if (value !== undefined && typeof value !== "boolean")
      throw invalid(`windows.${flag} must be true or false`);
    if (value)
      say(
        flag === "servicing" ? "start for servicing" : "leave out flushes while it starts",
        `windows.${flag}`,
      );
  }
  if (spec.process) explainProcess(spec.process, say);
  return lines;
}

type Say = (what: string, field: string) => void;

/** A drive's root and below, a share, a pipe, or a volume. */
const absolute = (path: string) => /^[A-Za-z]:[\\/]/.test(path) || /^\\\\/.test(path);

function explainMount({ destination, source, type, options = [] }: Mount, index: number): string {
  const where = `mounts[${index}]`;
  if (!absolute(destination) && !/^[\\/]/.test(destination))
    throw invalid(`${where}.destination ${destination} is not absolute`);
  if (type) throw invalid(`${where}.type must not be set on Windows`);
  if (!source) throw invalid(`${where}.source is missing`);
  const unknown = options.find((option) => option !== "ro" && option !== "rw");
  if (unknown)
    throw invalid(`${where}: the option ${JSON.stringify(unknown)} is none on Windows; there is only ro`);
  return `map ${source} to ${destination}${options.includes("ro") ? ", read-only" : ""}`;
}

function explainResources(value: unknown, say: Say): void {
  if (value === undefined) return;
  const resources = object(value, "windows.resources");
  const memory =
    resources["memory"] === undefined ? {} : object(resources["memory"], "windows.resources.memory");
  const limit = number(memory["limit"], "windows.resources.memory.limit");
  if (limit !== undefined) say(`limit memory to ${limit} bytes`, "windows.resources.memory.limit");
  const cpu = resources["cpu"] === undefined ? {} : object(resources["cpu"], "windows.resources.cpu");
  const given = ["count", "shares", "maximum"].filter(
    (name) => cpu[name] !== undefined && cpu[name] !== null,
  );
  if (given.length > 1) throw invalid(`windows.resources.cpu: ${given.join(" and ")} exclude each other`);
  for (const name of given) {
    const amount = number(cpu[name], `windows.resources.cpu.${name}`);
    if (name === "maximum" && (amount === undefined || amount < 1 || amount > 10_000))
      throw invalid("windows.resources.cpu.maximum must be within 1 … 10000 (hundredths of a per cent)");
    if (name === "shares" && (amount === undefined || amount > 10_000))
      throw invalid("windows.resources.cpu.shares must be within 0 … 10000");
    say(`set the processor ${name} to ${amount}`, `windows.resources.cpu.${name}`);
  }
  const storage =
    resources["storage"] === undefined ? {} : object(resources["storage"], "windows.resources.storage");
  for (const name of ["iops", "bps", "sandboxSize"]) {
    const amount = number(storage[name], `windows.resources.storage.${name}`);
    if (amount !== undefined)
      say(`set the system drive's ${name} to ${amount}`, `windows.resources.storage.${name}`);
  }
}

function explainNetwork(value: unknown, say: Say): void {
  if (value === undefined) return;
  const network = object(value, "windows.network");
  const shared = optionalString(
    network["networkSharedContainerName"],
    "windows.network.networkSharedContainerName",
  );
  const namespace = optionalString(network["networkNamespace"], "windows.network.networkNamespace");
  if (shared) say(`share the network of ${shared}`, "windows.network.networkSharedContainerName");
  if (namespace) say(`join the network namespace ${namespace}`, "windows.network.networkNamespace");
  for (const endpoint of strings(network["endpointList"], "windows.network.endpointList"))
    say(`attach the endpoint ${endpoint}`, "windows.network.endpointList");
  const search = strings(network["DNSSearchList"], "windows.network.DNSSearchList");
  if (search.length > 0) say(`search names in ${search.join(", ")}`, "windows.network.DNSSearchList");
}

function explainProcess(process: Process, say: Say): void {
  if (!process.cwd || !absolute(process.cwd))
    throw invalid(`process.cwd ${JSON.stringify(process.cwd ?? "")} is not absolute`);
  for (const field of ["capabilities", "rlimits", "apparmorProfile", "selinuxLabel", "oomScoreAdj"] as const)
    if (process[field] !== undefined)
      throw invalid(`process.${field} is of Linux and must not be set on Windows`);
  const user = (process.user as { username?: unknown } | undefined)?.username;
  const username = optionalString(user, "process.user.username");
  const line = process.commandLine ?? process.args?.map(quoted).join(" ");
  if (!line) throw invalid("process.commandLine or process.args is required");
  say(
    `start ${line} in ${process.cwd}${username ? ` as ${username}` : ""}`,
    process.commandLine ? "process.commandLine" : "process.args",
  );
}

const quoted = (argument: string) =>
  /[\s"]/.test(argument) ? `"${argument.replaceAll('"', '\\"')}"` : argument;

function strings(value: unknown, where: string): string[] {
  return list(value, where).map((entry, index) => {
    if (typeof entry !== "string" || entry === "") throw invalid(`${where}[${index}] must be a string`);
    return entry;
  });
}

function optionalString(value: unknown, where: string): string | undefined {
  if (value !== undefined && typeof value !== "string") throw invalid(`${where} must be a string`);
  return value || undefined;
}

function number(value: unknown, where: string): number | undefined {
  if (value === undefined) return undefined;
  const exact = Number(value);
  if ((typeof value !== "number" && typeof value !== "bigint") || !(exact >= 0))
    throw invalid(`${where} must be a number`);
  return exact;
}
