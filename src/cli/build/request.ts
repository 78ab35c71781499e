/** The flags of a command line as the body of `POST /corten/build`. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { BuildBody, BuildCacheOption } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";
import { proxyEnvironment } from "../run/proxy.ts";
import { cut } from "../run/values.ts";
import { type BuildSource, describeDirectory, isRemote } from "./context.ts";
import { type BuildValues, fieldsOf } from "./flags.ts";
import type { Output } from "./outputs.ts";

/** Reads secrets and looks at directories; `daemonName` chooses the proxies of the configuration file. */
export function bodyOf(
  cli: Cli,
  values: BuildValues,
  source: BuildSource,
  outputs: readonly Output[],
  daemonName: string,
): BuildBody {
  const { context } = source;
  const named = namedContexts(values["build-context"]);
  const contexts = [...named.contexts];
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  if (context.kind === "directory") contexts.unshift(describeDirectory("context", context.path));
  if (context.kind === "archive") contexts.unshift({ name: "context", path: "-", device: "", inode: "" });
  if (source.dockerfileDirectory) contexts.push(describeDirectory("dockerfile", source.dockerfileDirectory));
  const dockerfile = context.kind === "dockerfile" ? context.text : source.dockerfile;
  const body: BuildBody = {
    id: randomBytes(12).toString("hex"),
    contexts,
    tags: values.tag,
    buildArgs: buildArguments(cli, values["build-arg"], daemonName),
    labels: pairs(values.label),
    platforms: values.platform.flatMap((one) => one.split(",")).filter(Boolean),
    noCache: values["no-cache"],
    noCacheFilter: values["no-cache-filter"].flatMap((one) => one.split(",")),
    pull: values.pull,
    namedContexts: named.sources,
    extraHosts: values["add-host"],
    network: values.network,
    ulimits: Object.values(values.ulimit).map(({ Name, Soft, Hard }) => ({
      name: Name,
      soft: Soft,
      hard: Hard,
    })),
    entitlements: values.allow,
    secrets: Object.fromEntries(values.secret.map(readSecret).map(([id, bytes]) => [id, base64(bytes)])),
    ssh: Object.fromEntries(values.ssh.map(agentOf)),
    outputs: outputs.map(({ type, attributes, place }) => ({
      type,
      attributes,
      stream: place !== undefined,
    })),
    cacheFrom: values["cache-from"].flatMap((one) => cacheOption(one, "src")),
    cacheTo: values["cache-to"].flatMap((one) => cacheOption(one, "dest")),
    attestations: attestations(values),
  };
  if (dockerfile) body.dockerfile = base64(dockerfile);
  if (source.filename !== undefined) body.filename = source.filename;
  if (source.dockerfileDirectory) body.dockerfileContext = "dockerfile";
  if (context.kind === "archive") body.contextIsArchive = true;
  if (context.kind === "remote") body.remoteContext = context.url;
  if (values.target !== "") body.target = values.target;
  if (values["shm-size"] > 0) body.shmSize = values["shm-size"];
  if (values["cgroup-parent"] !== "") body.cgroupParent = values["cgroup-parent"];
  if (values.check || values.call === "check") body.check = true;
  else if (!["build", ""].includes(values.call)) body.call = values.call;
  const epoch = process.env["SOURCE_DATE_EPOCH"];
  if (epoch !== undefined && /^\d+$/.test(epoch)) body.sourceDateEpoch = Number(epoch);
  return body;
}

const pairs = (list: readonly string[]) =>
  Object.fromEntries(list.map((one) => cut(one, "=")).map(([key, value]) => [key, value ?? ""]));

/** `--build-arg NAME` takes the value of our environment, and is left out when there is none. */
export function buildArguments(
  cli: Cli,
  list: readonly string[],
  daemonName: string,
): Record<string, string> {
  const out: Record<string, string> = {};
  for (const one of [...proxyEnvironment(cli.config, daemonName, list), ...list]) {
    const [name, value = process.env[name]] = cut(one, "=");
    if (value !== undefined) out[name] = value;
  }
  return out;
}

function namedContexts(
  list: readonly string[],
): Pick<BuildBody, "contexts"> & { sources: Record<string, string> } {
  const contexts: BuildBody["contexts"] = [];
  const sources: Record<string, string> = {};
  for (const one of list) {
    const [name, value] = cut(one, "=");
    if (value === undefined || name === "" || value === "")
      throw new StatusError(1, `invalid context value: ${one}, expected key=value`);
    if (/^(docker-image|oci-layout|target):/.test(value) || isRemote(value)) {
      sources[name] = value;
      continue;
    }
    const path = existsSync(value) ? realpathSync(value) : undefined;
    if (path === undefined || !statSync(path).isDirectory())
      throw new StatusError(
        1,
        `failed to get build context ${name}: stat ${value}: no such file or directory`,
      );
    contexts.push(describeDirectory(name, path));
    sources[name] = `local:${name}`;
  }
  return { contexts, sources };
}

const secretLimit = 500 << 10;

/** `id=x[,src=path|,env=NAME]`: a file, or a variable; by the id's own name when neither is said. */
function readSecret(text: string): [id: string, value: Uint8Array] {
  const fields = fieldsOf(text, "--secret");
  const { id, type } = fields;
  if (!id) throw new StatusError(1, `invalid secret ${text}: id is missing`);
  for (const key of Object.keys(fields))
    if (!["type", "id", "source", "src", "env"].includes(key))
      throw new StatusError(1, `unexpected key '${key}' in '${key}=${fields[key]}'`);
  if (type !== undefined && type !== "file" && type !== "env")
    throw new StatusError(1, `unsupported secret type "${type}"`);
  let file = fields["source"] ?? fields["src"];
  let variable = fields["env"];
  if (type === "env" && variable === undefined) {
    variable = file;
    file = undefined;
  }
  if (file === undefined && variable === undefined) {
    if (process.env[id] !== undefined && type !== "file") variable = id;
    else file = id;
  }
  if (variable !== undefined) return [id, Buffer.from(process.env[variable] ?? "")];
  try {
    if (statSync(file!).size > secretLimit) throw new Error(`${file} is larger than 500KiB`);
    return [id, readFileSync(file!)];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StatusError(
      1,
      code === "ENOENT" ? `failed to stat ${file}: stat ${file}: no such file or directory` : message,
    );
  }
}

function agentOf(text: string): [id: string, path: string] {
  const [id, value = process.env["SSH_AUTH_SOCK"]] = cut(text, "=");
  if (!value) throw new StatusError(1, `invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set`);
  const path = resolve(value);
  if (!existsSync(path)) throw new StatusError(1, `failed to open ${value}: no such file or directory`);
  if (!statSync(path).isSocket())
    throw new StatusError(
      1,
      `--ssh ${text}: ${value} is no agent's socket (keys by file are not supported: add them to an agent)`,
    );
  return [id, path];
}

/** `type=…,…`, or the name of an image (which may be several, apart by commas). */
function cacheOption(text: string, place: "src" | "dest"): BuildCacheOption[] {
  if (!text.includes("=")) return text.split(",").map((ref) => ({ type: "registry", attributes: { ref } }));
  const { type, ...attributes } = fieldsOf(text, place === "src" ? "--cache-from" : "--cache-to");
  if (!type) throw new StatusError(1, `type required form> "${text}"`);
  if (attributes[place] !== undefined) attributes[place] = resolve(attributes[place]);
  return [{ type, attributes }];
}

function attestations(values: BuildValues): Record<string, Record<string, string>> {
  const out: Record<string, Record<string, string>> = {};
  for (const text of values.attest) {
    const { type, disabled, ...attributes } = fieldsOf(text, "--attest");
    if (!type) throw new StatusError(1, `attestation type not specified`);
    if (disabled !== "true") out[type] = attributes;
  }
  for (const type of ["provenance", "sbom"] as const) {
    const value = values[type];
    if (value === "" || value === "false") continue;
    out[type] = value === "true" ? {} : fieldsOf(value, `--${type}`);
  }
  return out;
}
