import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  type OCIRegistry,
} from "../../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { Limiter } from "../../base/async.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import {
  type Credentials,
  createResolver,
  type Host,
  hostsFromDirectory,
  type Resolver,
} from "../../registry/index.ts";
import { packAny, unpackAny } from "../client/typeurl.ts";
import { ByteSender } from "../streaming/bytes.ts";
import type { NamedStream } from "../streaming/streams.ts";

/** A resolver as the request wants it; `streams` are the client's that it names. */
export function registryResolver(
  registry: OCIRegistry,
  streams: { auth?: NamedStream; logs?: NamedStream },
  signal: AbortSignal,
): Resolver {
  const { resolver } = registry;
  const { hostDir = "", defaultScheme = "", headers = {} } = resolver ?? {};
  if (defaultScheme !== "" && defaultScheme !== "http" && defaultScheme !== "https")
    throw invalid(`unknown scheme ${JSON.stringify(defaultScheme)}: invalid argument`);
  const { auth, logs } = streams;
  const extra = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const),
  );
  const plain = defaultScheme === "http";
  const hosts = async (name: string): Promise<Host[] | undefined> => {
    const found = hostDir === "" ? undefined : await hostsFromDirectory([hostDir], name);
    if (found) return found.map((host) => ({ ...host, headers: { ...extra, ...host.headers } }));
    if (defaultScheme !== "https" && Object.keys(extra).length === 0) return undefined;
    const host = name === "docker.io" ? "registry-1.docker.io" : name;
    return [{ host, scheme: plain ? "http" : "https", headers: extra }];
  };
  return createResolver({
    signal,
    hosts,
    ...(plain ? { plainHttp: true } : {}),
    ...(auth ? { credentials: asking(auth, registry.reference) } : {}),
    ...(logs ? { onEvent: logging(logs) } : {}),
  });
}

/** Asks the client for its credentials, one question at a time. */
function asking(stream: NamedStream, reference: string) {
  const turn = new Limiter(1);
  return (registry: string): Promise<Credentials | undefined> =>
    turn.run(async () => {
      const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
      await stream.send(packAny(AuthRequestSchema, { host, reference }));
      const message = await stream.receive();
      const answer = message && unpackAny(AuthResponseSchema, message);
      if (!answer)
        throw invalid("the client gave no answer to the question for credentials: invalid argument");
      return credentialsOf(answer.authType, answer.username, answer.secret);
    });
}

function credentialsOf(type: AuthType, username: string, secret: string): Credentials | undefined {
  if (secret === "" && username === "") return undefined;
  switch (type) {
    case AuthType.CREDENTIALS:
      return { username, password: secret };
    case AuthType.REFRESH:
      return { identitytoken: secret };
    case AuthType.HEADER: {
      const [, scheme = "", value = ""] = /^(\S+)\s+(.*)$/.exec(secret) ?? [];
      if (scheme.toLowerCase() === "bearer") return { registrytoken: value };
      if (scheme.toLowerCase() !== "basic") return undefined;
      const [name = "", password = ""] = Buffer.from(value, "base64").toString("utf8").split(/:(.*)/s);
      return { username: name, password };
    }
    default:
      return undefined;
  }
}

/** What the registry's client does, a line for each step; what the client of ours does not read is lost. */
function logging(stream: NamedStream) {
  const sender = new ByteSender(stream);
  const turn = new Limiter(1);
  let waiting = 0;
  return (event: object): void => {
    if (stream.over || waiting > 1000) return;
    waiting++;
    void turn
      .run(() => sender.write(new TextEncoder().encode(`${JSON.stringify(event)}\n`)))
      .catch((error) => log.debug("a client does not read its log", { why: messageOf(error) }))
      .finally(() => waiting--);
  };
}
