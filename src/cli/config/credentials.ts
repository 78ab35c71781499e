/** Credentials of registries: in `config.json`, or kept by a helper program (`docker-credential-NAME`). */
import { CortenError } from "../../base/errors.ts";
import type { AuthConfig } from "../../engine/types.ts";
import { type ConfigFile, changeConfig, type StoredAuth } from "./file.ts";

/** What to send for this registry; undefined when nothing is stored. */
export async function credentialsFor(config: ConfigFile, registry: string): Promise<AuthConfig | undefined> {
  const helper = helperOf(config, registry);
  if (helper) {
    const found = await ask(helper, "get", registry);
    if (found) {
      const { Username, Secret } = JSON.parse(found) as { Username: string; Secret: string };
      if (Username === "<token>") return { identitytoken: Secret, serveraddress: registry };
      return { username: Username, password: Secret, serveraddress: registry };
    }
  }
  const auths = config.auths ?? {};
  const key = Object.keys(auths).find((name) => name === registry || hostOf(name) === hostOf(registry));
  return key === undefined ? undefined : decode(auths[key]!, key);
}

const helperOf = (config: ConfigFile, registry: string) =>
  config.credHelpers?.[registry] ?? config.credHelpers?.[hostOf(registry)] ?? config.credsStore;

/** Keys may carry a scheme and a path. */
export const hostOf = (key: string) => key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");

function decode(stored: StoredAuth, serveraddress: string): AuthConfig {
  const { auth, ...rest } = stored;
  const out: AuthConfig = { ...rest, serveraddress };
  if (auth) {
    const text = Buffer.from(auth, "base64").toString();
    const colon = text.indexOf(":");
    if (colon < 0)
      throw new CortenError("invalid_argument", `Invalid auth configuration file: ${serveraddress}`);
    out.username = text.slice(0, colon);
    out.password = text.slice(colon + 1).replace(/\0+$/, "");
  }
  return out;
}

/** Keeps credentials after a login; true when new ones went into `config.json`, where anybody with the file reads them. */
export async function storeCredentials(
  directory: string,
  config: ConfigFile,
  auth: AuthConfig,
): Promise<boolean> {
  const registry = auth.serveraddress ?? "";
  const helper = helperOf(config, registry);
  if (helper) {
    const secret = auth.identitytoken
      ? { Username: "<token>", Secret: auth.identitytoken }
      : { Username: auth.username, Secret: auth.password };
    await ask(helper, "store", JSON.stringify({ ServerURL: registry, ...secret }));
    changeConfig(directory, (file) => {
      file.auths = { ...file.auths, [registry]: {} };
    });
    return false;
  }
  const encoded = Buffer.from(`${auth.username ?? ""}:${auth.password ?? ""}`).toString("base64");
  const before = config.auths?.[registry];
  if (before?.auth === encoded && before.identitytoken === auth.identitytoken) return false;
  changeConfig(directory, (file) => {
    file.auths = {
      ...file.auths,
      [registry]: auth.identitytoken
        ? { auth: encoded, identitytoken: auth.identitytoken }
        : { auth: encoded },
    };
  });
  return true;
}

/** Forgets them; true when there were any. */
export async function eraseCredentials(
  directory: string,
  config: ConfigFile,
  registry: string,
): Promise<boolean> {
  const helper = helperOf(config, registry);
  if (helper) await ask(helper, "erase", registry);
  const keys = Object.keys(config.auths ?? {}).filter(
    (key) => key === registry || hostOf(key) === hostOf(registry),
  );
  if (keys.length > 0)
    changeConfig(directory, (file) => {
      for (const key of keys) delete file.auths?.[key];
    });
  return keys.length > 0 || helper !== undefined;
}

/** Talks to a helper; undefined when it knows nothing of the registry. */
async function ask(
  helper: string,
  verb: "get" | "store" | "erase",
  input: string,
): Promise<string | undefined> {
  const program = `docker-credential-${helper}`;
  const { spawn } = await import("node:child_process");
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; out: string }>();
  const child = spawn(program, [verb], { stdio: ["pipe", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.on("error", () =>
    reject(
      new CortenError(
        "unknown",
        `error getting credentials - err: exec: "${program}": executable file not found in $PATH, out: \`\``,
      ),
    ),
  );
  child.on("close", (code) => resolve({ code, out }));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ended = await promise;
  if (ended.code === 0) return ended.out;
  if (verb !== "store" && /credentials not found/.test(ended.out)) return undefined;
  throw new CortenError(
    "unknown",
    `error ${verb === "store" ? "storing" : "getting"} credentials - err: exit status ${ended.code}, out: \`${ended.out.trim()}\``,
  );
}
