/** The config of the image that a stage makes, as it grows instruction by instruction. */
import type { ContainerConfig, History, ImageConfig, Platform } from "../../oci/image-spec.ts";

/** PATH of processes when neither the image nor the Dockerfile says one. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const historyComment = "buildkit.dockerfile.v0";

export interface ImageState {
  author?: string;
  platform: Platform;
  config: ContainerConfig;
  history: History[];
  /** Layers below the Dockerfile's. */
  diffIds: readonly string[];
}

/** What `FROM scratch` begins with. */
export function emptyImage(platform: Platform): ImageState {
  return {
    platform,
    config: { Env: [`PATH=${defaultPath}`], WorkingDir: "/" },
    history: [],
    diffIds: [],
  };
}

/** What a stage takes over from the image it is built on: the fields that BuildKit knows, and no others. */
export function inheritedImage(base: ImageConfig): ImageState {
  const from: ContainerConfig = structuredClone(base.config ?? {});
  const config: ContainerConfig = {};
  if (from.User) config.User = from.User;
  if (from.ExposedPorts) config.ExposedPorts = from.ExposedPorts;
  if (from.Env) config.Env = from.Env;
  if (from.Entrypoint) config.Entrypoint = from.Entrypoint;
  if (from.Cmd) config.Cmd = from.Cmd;
  if (from.Volumes) config.Volumes = from.Volumes;
  if (from.WorkingDir) config.WorkingDir = from.WorkingDir;
  if (from.Labels) config.Labels = from.Labels;
  if (from.StopSignal) config.StopSignal = from.StopSignal;
  if (from.ArgsEscaped) config.ArgsEscaped = from.ArgsEscaped;
  if (from.Healthcheck) config.Healthcheck = from.Healthcheck;
  if (from.OnBuild) config.OnBuild = from.OnBuild;
  if (from.Shell) config.Shell = from.Shell;
  const { os, architecture, variant } = base;
  return {
    ...(base.author && { author: base.author }),
    platform: {
      os,
      architecture,
      ...(variant && { variant }),
      ...(base["os.version"] && { "os.version": base["os.version"] }),
      ...(base["os.features"] && { "os.features": [...base["os.features"]] }),
    },
    config,
    history: structuredClone(base.history ?? []),
    diffIds: base.rootfs?.diff_ids ?? [],
  };
}

export const cloneImage = (image: ImageState): ImageState => structuredClone(image);

/** Sets a variable in the config: in its place when it is there already. */
export function setEnv(config: ContainerConfig, key: string, value: string): void {
  const env = [...(config.Env ?? [])];
  const at = env.findIndex((entry) => keyOfEnv(entry) === key);
  if (at < 0) env.push(`${key}=${value}`);
  else env[at] = `${key}=${value}`;
  config.Env = env;
}

/** Labels with others put over them; a name may be any text, `__proto__` too. */
export const withLabels = (
  labels: Readonly<Record<string, string>> | null | undefined,
  more: readonly { key: string; value: string }[],
): Record<string, string> =>
  Object.fromEntries([
    ...Object.entries(labels ?? {}),
    ...more.map(({ key, value }) => [key, value] as const),
  ]);

export function splitEnv(entry: string): [key: string, value: string] {
  const equals = entry.indexOf("=");
  return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

const keyOfEnv = (entry: string): string => splitEnv(entry)[0];

/** A line of the image's history; `layer` when the instruction left one. */
export function commit(
  image: ImageState,
  createdBy: string,
  options: { layer?: boolean; ran?: boolean; epoch?: number | undefined } = {},
): void {
  const { layer = false, ran = false, epoch } = options;
  image.history.push({
    ...(epoch !== undefined && { created: isoSeconds(epoch) }),
    created_by: ran ? `${createdBy} # buildkit` : createdBy,
    comment: historyComment,
    ...(!layer && { empty_layer: true }),
  });
}

/** RFC 3339 without a fraction of zero, as Go prints times. */
export const isoSeconds = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().replace(".000Z", "Z");

/** The document without rootfs: empty lists and maps are left out, as Go's omitempty does. */
export function imageConfig(image: ImageState, platform: Platform): ImageConfig {
  const config = Object.fromEntries(
    Object.entries(image.config).filter(([, value]) => !isEmpty(value)),
  ) as ContainerConfig;
  return {
    ...(image.author && { author: image.author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant && { variant: platform.variant }),
    ...(platform["os.version"] && { "os.version": platform["os.version"] }),
    ...(platform["os.features"] && { "os.features": platform["os.features"] }),
    config,
    rootfs: { type: "layers", diff_ids: [] },
  };
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}
