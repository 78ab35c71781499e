import { isCode, messageOf } from "../../../base/errors.ts";
import type { SystemInfo } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { renderTyped } from "../../format/inspect.ts";
import { binarySize } from "../../format/units.ts";
import { productVersion } from "../../product.ts";
import { Template } from "../../template/execute.ts";
import { TemplateError } from "../../template/lex.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { format: string("f", inspectFormatHelp) },
  async run({ cli, values }) {
    const clientInfo = {
      Debug: cli.options.debug,
      Version: productVersion,
      Context: cli.context,
      Plugins: [],
      Warnings: null,
    };
    let info: SystemInfo | undefined;
    let failure: string | undefined;
    try {
      info = await (await cli.client()).system.info();
    } catch (error) {
      if (!isCode(error, "unavailable") && values.format !== "") throw error;
      failure = messageOf(error);
    }
    if (values.format !== "") {
      const data = {
        ...info,
        ...(failure === undefined ? {} : { ServerErrors: [failure] }),
        ClientInfo: clientInfo,
      };
      try {
        const template = new Template(values.format === "json" ? "{{json .}}" : values.format);
        cli.out.line(renderTyped(template, data));
      } catch (error) {
        throw error instanceof TemplateError
          ? new StatusError(64, `template parsing error: ${error.message}`)
          : error;
      }
      if (failure !== undefined && info === undefined) throw new StatusError(1, failure);
      return;
    }
    cli.out.write(
      `Client:\n Version:    ${clientInfo.Version}\n Context:    ${clientInfo.Context}\n Debug Mode: ${clientInfo.Debug}\n\nServer:\n`,
    );
    if (info) {
      cli.out.write(`${serverLines(info, cli.options.debug).join("\n")}\n\n`);
      for (const warning of info.Warnings ?? []) cli.err.line(warning);
    }
    if (failure !== undefined) {
      cli.err.line(`ERROR: ${failure}`);
      throw new StatusError(1, "errors pretty printing info");
    }
  },
});

function serverLines(info: SystemInfo, debug: boolean): string[] {
  const lines: string[] = [];
  const line = (label: string, value: unknown) => lines.push(` ${label}: ${value}`);
  const some = (label: string, value: string | undefined) => {
    if (value) line(label, value);
  };
  line("Containers", info.Containers);
  line(" Running", info.ContainersRunning);
  line(" Paused", info.ContainersPaused);
  line(" Stopped", info.ContainersStopped);
  line("Images", info.Images);
  some("Server Version", info.ServerVersion);
  some("Storage Driver", info.Driver);
  for (const [key, value] of info.DriverStatus ?? []) line(` ${key}`, value);
  for (const [key, value] of info.SystemStatus ?? []) line(key, value);
  some("Logging Driver", info.LoggingDriver);
  some("Cgroup Driver", info.CgroupDriver);
  some("Cgroup Version", info.CgroupVersion);
  lines.push(" Plugins:");
  line(" Volume", (info.Plugins.Volume ?? []).join(" "));
  line(" Network", (info.Plugins.Network ?? []).join(" "));
  if (info.Plugins.Authorization?.length) line(" Authorization", info.Plugins.Authorization.join(" "));
  line(" Log", (info.Plugins.Log ?? []).join(" "));
  section(lines, "CDI spec directories", info.CDISpecDirs ?? []);
  section(
    lines,
    "Discovered Devices",
    (info.DiscoveredDevices ?? []).map((one) => `${one.Source}: ${one.ID}`),
  );
  line("Swarm", info.Swarm?.LocalNodeState ?? "inactive");
  const runtimes = Object.keys(info.Runtimes ?? {});
  if (runtimes.length > 0) {
    line("Runtimes", runtimes.join(" "));
    line("Default Runtime", info.DefaultRuntime);
  }
  if (info.OSType === "linux") {
    line("Init Binary", info.InitBinary);
    line("containerd version", info.ContainerdCommit?.ID ?? "");
    line("runc version", info.RuncCommit?.ID ?? "");
    line("init version", info.InitCommit?.ID ?? "");
    securityLines(lines, info.SecurityOptions ?? []);
  }
  some("Kernel Version", info.KernelVersion);
  some("Operating System", info.OperatingSystem);
  some("OSType", info.OSType);
  some("Architecture", info.Architecture);
  line("CPUs", info.NCPU);
  line("Total Memory", binarySize(info.MemTotal));
  some("Name", info.Name);
  some("ID", info.ID);
  line("Docker Root Dir", info.DockerRootDir);
  line("Debug Mode", info.Debug);
  if (info.Debug || debug) {
    line(" File Descriptors", info.NFd);
    line(" Goroutines", info.NGoroutines);
    line(" System Time", info.SystemTime);
    line(" EventsListeners", info.NEventsListener);
  }
  some("HTTP Proxy", info.HttpProxy);
  some("HTTPS Proxy", info.HttpsProxy);
  some("No Proxy", info.NoProxy);
  section(lines, "Labels", info.Labels ?? []);
  line("Experimental", info.ExperimentalBuild);
  registryLines(lines, info);
  line("Live Restore Enabled", info.LiveRestoreEnabled);
  some("Product License", info.ProductLicense);
  section(
    lines,
    "Default Address Pools",
    (info.DefaultAddressPools ?? []).map((pool) => ` Base: ${pool.Base}, Size: ${pool.Size}`),
  );
  return lines;
}

function section(lines: string[], label: string, entries: readonly string[]): void {
  if (entries.length > 0) lines.push(` ${label}:`, ...entries.map((entry) => `  ${entry}`));
}

/** `name=seccomp,profile=builtin`. */
function securityLines(lines: string[], options: readonly string[]): void {
  if (options.length === 0) return;
  lines.push(" Security Options:");
  for (const option of options) {
    const pairs = option.split(",").map((pair) => pair.split("="));
    const name = pairs.find(([key]) => key === "name")?.[1] ?? option;
    lines.push(`  ${name}`);
    for (const [key, value] of pairs) if (key === "profile") lines.push(`   Profile: ${value}`);
  }
}

function registryLines(lines: string[], info: SystemInfo): void {
  const { IndexConfigs, InsecureRegistryCIDRs, Mirrors } = info.RegistryConfig ?? {};
  const indexes = Object.values(IndexConfigs ?? {});
  if (indexes.length > 0 || InsecureRegistryCIDRs?.length) {
    lines.push(" Insecure Registries:");
    for (const index of indexes) if (!index.Secure) lines.push(`  ${index.Name}`);
    for (const cidr of InsecureRegistryCIDRs ?? []) lines.push(`  ${cidr}`);
  }
  section(lines, "Registry Mirrors", Mirrors ?? []);
}
