/** What holds for a call: flags before environment before crictl.yaml before defaults. */
import { fs, path } from "../base/lazy.ts";
import { goQuote } from "../cli/format/quote.ts";
import { type ConfigOptions, readConfig } from "./config-file.ts";
import { wrap } from "./errors.ts";
import { bool, duration, type FlagSpec, type Flags, int, string } from "./flags.ts";
import { log, showDebug } from "./log.ts";

const second = 1e9;
const defaultTimeout = 2 * second;
const defaultConfigPath = "/etc/crictl.yaml";

/** Tried one after the other when none is named: ours, and those crictl knows. */
export const defaultEndpoints = [
  "unix:///run/corten/containerd/containerd.sock",
  "unix:///run/containerd/containerd.sock",
  "unix:///run/crio/crio.sock",
  "unix:///var/run/cri-dockerd.sock",
] as const;

export interface Settings {
  runtimeEndpoint: string;
  runtimeEndpointIsSet: boolean;
  imageEndpoint: string;
  imageEndpointIsSet: boolean;
  /** Nanoseconds. */
  timeout: number;
  pullImageOnCreate: boolean;
  disablePullOnRun: boolean;
  maxRetries: number;
  configPath: string;
}

export const globalFlags: readonly FlagSpec[] = [
  string(
    "config,c",
    "Location of the client config file. If not specified and the default does not exist, the program's directory is searched as well",
    { initial: defaultConfigPath, env: "CRI_CONFIG_FILE" },
  ),
  string(
    "runtime-endpoint,r",
    `Endpoint of CRI container runtime service (default: uses in order the first successful one of [${defaultEndpoints.join(" ")}]). Default is now deprecated and the endpoint should be set instead.`,
    { env: "CONTAINER_RUNTIME_ENDPOINT" },
  ),
  string(
    "image-endpoint,i",
    "Endpoint of CRI image manager service (default: uses 'runtime-endpoint' setting)",
    { env: "IMAGE_SERVICE_ENDPOINT" },
  ),
  duration(
    "timeout,t",
    "Timeout of connecting to the server in seconds (e.g. 2s, 20s.). 0 or less is set to default",
    { initial: defaultTimeout },
  ),
  bool("debug,D", "Enable debug mode"),
  int(
    "max-retries",
    "Max retries for connecting to an explicitly set endpoint with exponential backoff (0 to disable, negative for infinite)",
    { initial: 3 },
  ),
];

/** `forConfig`: the config verb may make a file that is missing. */
export function resolveSettings(flags: Flags, forConfig: boolean): Settings {
  const configPath = flags.text("config");
  let file: ConfigOptions | undefined;
  try {
    file = readConfig(existing(configPath)).options;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (flags.given("config") && !(forConfig && missing))
      throw wrap("get server config: load config file", missing ? new Error(missingText(error)) : error);
  }
  const endpoint = (flag: string, fromFile: string | undefined) => {
    if (flags.given(flag)) return { value: flags.text(flag), isSet: true };
    return fromFile ? { value: fromFile, isSet: true } : { value: "", isSet: false };
  };
  const runtime = endpoint("runtime-endpoint", file?.["runtime-endpoint"]);
  const image = endpoint("image-endpoint", file?.["image-endpoint"]);
  const given = flags.number("timeout");
  const timeout =
    !flags.given("timeout") && file && file.timeout > 0
      ? file.timeout * second
      : given > 0
        ? given
        : defaultTimeout;
  if (flags.given("debug") ? flags.is("debug") : file?.debug) showDebug();
  return {
    runtimeEndpoint: runtime.value,
    runtimeEndpointIsSet: runtime.isSet,
    imageEndpoint: image.value,
    imageEndpointIsSet: image.isSet,
    timeout,
    pullImageOnCreate: file?.["pull-image-on-create"] ?? false,
    disablePullOnRun: file?.["disable-pull-on-run"] ?? false,
    maxRetries: flags.given("max-retries") || !file ? flags.number("max-retries") : file["max-retries"],
    configPath,
  };
}

function existing(file: string): string {
  if (fs().existsSync(file)) return file;
  const beside = path().join(path().dirname(process.execPath), "crictl.yaml");
  log("warning", `Config ${goQuote(file)} does not exist, trying next: ${goQuote(beside)}`);
  return beside;
}

function missingText(error: unknown): string {
  return `stat ${(error as NodeJS.ErrnoException).path}: no such file or directory`;
}
