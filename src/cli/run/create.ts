/** Makes the container of `run` and `create`: pulls what is missing, writes the id file, shows the warnings. */
import { isCode, messageOf } from "../../base/errors.ts";
import { fs } from "../../base/lazy.ts";
import type { EngineClient } from "../../engine/client.ts";
import type { CreateContainerRequest, HostConfig, Sent } from "../../engine/types.ts";
import { versionLess } from "../../engine/version.ts";
import type { Cli } from "../cli.ts";
import { familiarReference, isDebName, parseReference, withDefaultTag } from "../format/reference.ts";
import { createBody } from "./body.ts";
import { commandError } from "./failure.ts";
import type { ContainerValues, CreateValues } from "./flags.ts";
import { isIP } from "./ip.ts";
import { parsePlatform } from "./platform.ts";
import { proxyEnvironment } from "./proxy.ts";

export type CreateRequest = CreateContainerRequest & { HostConfig: Sent<HostConfig> };

/** The create body of a command line. */
export async function bodyOf(
  cli: Cli,
  verb: string,
  values: ContainerValues & CreateValues,
  changed: ReadonlySet<string>,
  args: readonly string[],
): Promise<CreateRequest> {
  if (!["always", "missing", "never", ""].includes(values.pull))
    throw commandError(
      cli.program,
      verb,
      new Error(`invalid pull option: '${values.pull}': must be one of "always", "missing" or "never"`),
    );
  try {
    const daemon = cli.config.proxies ? cli.daemon().name : "";
    const proxyEnv = proxyEnvironment(cli.config, daemon, values.env);
    return createBody({ values, changed, image: args[0]!, command: args.slice(1), proxyEnv });
  } catch (error) {
    throw commandError(cli.program, verb, error);
  }
}

/** Creates and returns the id. */
export async function createContainer(
  cli: Cli,
  client: EngineClient,
  body: CreateRequest,
  values: CreateValues,
): Promise<string> {
  const idFile = body.HostConfig.ContainerIDFile ? openIdFile(body.HostConfig.ContainerIDFile) : undefined;
  let written = false;
  try {
    const image = nameOf(body.Image ?? "");
    const platform = values.platform === "" ? "" : parsePlatform(values.platform);
    if (values.pull === "always" && image) await pull(cli, client, body.Image ?? "", values);
    const { rows, columns } = body.Tty ? cli.out.size() : { rows: 0, columns: 0 };
    body.HostConfig.ConsoleSize = [rows, columns];
    if (dependsOnVersion(body)) await client.negotiate();
    forVersion(body, client.apiVersion);
    const attempt = () => client.containers.create(body, { name: values.name, platform });
    let created: Awaited<ReturnType<typeof attempt>>;
    try {
      created = await attempt();
    } catch (error) {
      if (!isCode(error, "not_found") || !image || values.pull !== "missing") throw error;
      if (!values.quiet) cli.err.line(`Unable to find image '${image}' locally`);
      await pull(cli, client, body.Image ?? "", values);
      created = await attempt();
    }
    for (const warning of [...(created.Warnings ?? []), ...localDnsWarnings(body)])
      cli.err.line(`WARNING: ${warning}`);
    if (idFile) {
      fs().writeSync(idFile.fd, created.Id);
      written = true;
    }
    return created.Id;
  } finally {
    if (idFile) {
      fs().closeSync(idFile.fd);
      if (!written) fs().rmSync(idFile.path, { force: true });
    }
  }
}

/** The familiar name of an image reference, undefined for ids. */
function nameOf(image: string): string | undefined {
  if (/^(sha256:)?[a-f0-9]{64}$/.test(image)) return undefined;
  if (isDebName(image)) return image;
  return familiarReference(withDefaultTag(parseReference(image)));
}

async function pull(cli: Cli, client: EngineClient, image: string, values: CreateValues): Promise<void> {
  const { pullImage } = await import("./pull.ts");
  await pullImage(cli, client, image, { platform: values.platform, quiet: values.quiet, out: cli.err });
}

function openIdFile(path: string): { path: string; fd: number } {
  if (fs().existsSync(path))
    throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
  try {
    return { path, fd: fs().openSync(path, "w", 0o666) };
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file or directory" : messageOf(error);
    throw new Error(`failed to create the container ID file: open ${path}: ${reason}`);
  }
}

const endpointsOf = (body: CreateRequest) => Object.values(body.NetworkingConfig?.EndpointsConfig ?? {});

/** Whether `forVersion` may have something to do: else nobody need ask for the daemon's version first. */
function dependsOnVersion(body: CreateRequest): boolean {
  return Boolean(
    body.Healthcheck?.StartInterval ||
      body.HostConfig.Annotations ||
      body.HostConfig.Mounts?.some((mount) => mount.BindOptions?.ReadOnlyForceRecursive) ||
      endpointsOf(body).some((endpoint) => endpoint?.MacAddress),
  );
}

/** Leaves out what an older daemon does not know, or refuses it. */
function forVersion(body: CreateRequest, apiVersion: string): void {
  const older = (than: string) => versionLess(apiVersion, than);
  if (body.Healthcheck?.StartInterval && older("1.44"))
    throw new Error(
      '"specify health-check start interval" requires API version 1.44, but the Docker daemon API version is ' +
        apiVersion,
    );
  const endpoints = endpointsOf(body);
  if (older("1.44")) {
    if (body.HostConfig.Mounts?.some((mount) => mount.BindOptions?.ReadOnlyForceRecursive))
      throw new Error("bind-recursive=readonly requires API v1.44 or later");
    const mac = endpoints.map((endpoint) => endpoint?.MacAddress).find(Boolean);
    if (mac) {
      body.MacAddress = mac;
      for (const endpoint of endpoints) if (endpoint) endpoint.MacAddress = "";
    }
  }
  if (body.HostConfig.Annotations && older("1.43")) delete body.HostConfig.Annotations;
}

function localDnsWarnings(body: CreateRequest): string[] {
  const local = (body.HostConfig.Dns ?? []).find((address) =>
    isIP(address) === 4 ? address.startsWith("127.") : address === "::1",
  );
  return local === undefined ? [] : [`Localhost DNS (${local}) may fail in containers.`];
}
