/** The image configuration: how to run it, and what it was made of. Everything in it follows from the packages. */
import type { ContainerConfig, Descriptor, ImageConfig, Platform } from "../oci/image-spec.ts";
import type { PackageLayer } from "./package-layer.ts";
import { chooseStart } from "./program.ts";
import { bundlePath } from "./recipes/ca-certificates.ts";
import type { ResolvedPackage } from "./resolve.ts";
import type { DebImageOptions } from "./types.ts";

export interface ComposedPackage extends ResolvedPackage {
  layer: PackageLayer;
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function imageConfig(
  platform: Platform,
  base: Descriptor,
  packages: readonly ComposedPackage[],
  options: DebImageOptions,
): ImageConfig {
  const latest = Math.max(0, ...packages.map(({ layer }) => layer.mtime));
  const created = new Date(latest * 1000).toISOString().replace(".000Z", "Z");
  return {
    created,
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant && { variant: platform.variant }),
    config: containerConfig(packages, options),
    rootfs: { type: "layers", diff_ids: [base.digest, ...packages.map(({ layer }) => layer.digest)] },
    history: [
      { created, created_by: "deb: base" },
      ...packages.map(({ name, version }) => ({ created, created_by: `deb: ${name} ${version}` })),
    ],
  };
}

function containerConfig(packages: readonly ComposedPackage[], options: DebImageOptions): ContainerConfig {
  const start = chooseStart(packages);
  const entrypoint = options.entrypoint ?? start.entrypoint;
  // Arguments that were chosen for another program do not go with one that was given.
  const cmd = options.cmd ?? (options.entrypoint ? undefined : start.cmd);
  const env = [path];
  if (packages.some(({ name }) => name === "ca-certificates")) env.push(`SSL_CERT_FILE=/${bundlePath}`);
  const ports = options.exposedPorts ?? start.exposedPorts;
  const text = (list: readonly ComposedPackage[]) =>
    list
      .map(({ name, version }) => `${name}=${version}`)
      .sort()
      .join(" ");
  return {
    ...(options.user && { User: options.user }),
    ...(ports.length > 0 && {
      ExposedPorts: Object.fromEntries([...ports].sort().map((port) => [port, {}])),
    }),
    Env: [...env, ...(options.env ?? [])],
    ...(entrypoint && entrypoint.length > 0 && { Entrypoint: entrypoint }),
    ...(cmd && cmd.length > 0 && { Cmd: cmd }),
    WorkingDir: options.workingDir ?? "/",
    Labels: {
      "corten.deb.requested": text(packages.filter(({ requested }) => requested)),
      "corten.deb.packages": text(packages),
      ...options.labels,
    },
    ...(start.stopSignal && entrypoint === start.entrypoint && { StopSignal: start.stopSignal }),
  };
}
