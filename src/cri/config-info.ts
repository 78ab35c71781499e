import type { CriConfig } from "./config.ts";

/** As the monitor splits lines (native/log.c). */
const maxLogLine = 16 << 10;

/** The configuration as `crictl info` shows it, under the names that containerd's has in JSON. Credentials are left out. */
export function configInfo(config: CriConfig): object {
  const { cni, registry, stream } = config;
  const tls = Object.entries(registry.tls).map(([host, { insecureSkipVerify, ca, cert, key }]) => [
    host,
    {
      tls: {
        insecure_skip_verify: insecureSkipVerify ?? false,
        caFile: ca ?? "",
        certFile: cert ?? "",
        keyFile: key ?? "",
      },
    },
  ]);
  return {
    containerd: {
      snapshotter: config.snapshotter,
      defaultRuntimeName: config.defaultRuntime,
      runtimes: Object.fromEntries(
        Object.entries(config.runtimes).map(([name, { type, ...others }]) => [
          name,
          { runtimeType: type, ...others },
        ]),
      ),
    },
    cni: { binDir: cni.binDirs[0] ?? "", binDirs: cni.binDirs, confDir: cni.confDir },
    registry: {
      configPath: registry.configPath.join(":"),
      mirrors: Object.fromEntries(
        Object.entries(registry.mirrors).map(([host, endpoint]) => [host, { endpoint }]),
      ),
      configs: Object.fromEntries(tls),
    },
    rootDir: config.root,
    stateDir: config.state,
    sandboxImage: config.sandboxImage,
    streamServerAddress: stream.address,
    streamServerPort: String(stream.port),
    streamIdleTimeout: stream.idleTimeout === undefined ? "" : `${stream.idleTimeout}ms`,
    enableTLSStreaming: stream.tls !== undefined,
    maxContainerLogLineSize: maxLogLine,
    cdiSpecDirs: config.cdiSpecDirs,
    enableCDI: config.cdiSpecDirs.length > 0,
    unsetSeccompProfile: config.unsetSeccompProfile,
    enableUnprivilegedPorts: config.enableUnprivilegedPorts,
    enableUnprivilegedICMP: config.enableUnprivilegedIcmp,
    ignoreImageDefinedVolumes: config.ignoreImageDefinedVolumes,
    enableSelinux: config.enableSelinux,
    selinuxCategoryRange: config.selinuxCategories,
    ...(config.apparmor.of === "containerd" ? { disableApparmor: config.apparmor.disabled } : {}),
  };
}
