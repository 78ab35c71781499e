/** Debian's docker-registry on loopback, with the kinds of access that registries have. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, createPrivateKey, sign } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answersTcp, until } from "./engine.ts";
import { freePort } from "./images.ts";

export interface DockerRegistry extends AsyncDisposable {
  /** host:port */
  readonly host: string;
  /** In the shape of /etc/docker/certs.d; empty without TLS. */
  readonly certsDir: string;
  /** Scopes that the token server was asked for. */
  readonly scopes: string[];
}

export interface DockerRegistryOptions {
  tls?: boolean;
  /** A client certificate is asked for as well. */
  clientTls?: boolean;
  auth?: "basic" | "token";
}

export const user = "tester";
export const password = "correct horse";

/** Starts a registry with its storage, keys and (for tokens) token server in a folder of its own. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const root = mkdtempSync(join(tmpdir(), "corten-docker-registry-"));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const certsDir = join(root, "certs.d");
  const config: Record<string, unknown> = {
    version: "0.1",
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(root, "data") } },
  };
  const http: Record<string, unknown> = { addr: host, secret: "of the test" };
  let child: ChildProcess | undefined;
  let tokens: Server | undefined;
  const scopes: string[] = [];
  const stop = async () => {
    tokens?.closeAllConnections();
    tokens?.close();
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((done) => child!.once("exit", done));
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(root, { recursive: true, force: true });
  };
  try {
    mkdirSync(join(certsDir, host), { recursive: true });
    if (options.tls) {
      http["tls"] = makeCertificates(root, join(certsDir, host), options.clientTls ?? false);
    }
    if (options.auth === "basic") {
      const path = join(root, "htpasswd");
      writeFileSync(path, run("htpasswd", ["-Bbn", user, password]));
      config["auth"] = { htpasswd: { realm: "test", path } };
    } else if (options.auth === "token") {
      const issuer = makeKey(root);
      tokens = await startTokenServer(issuer, scopes);
      const realm = `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;
      config["auth"] = {
        token: { realm, service: "test-registry", issuer: "test-issuer", rootcertbundle: issuer.certificate },
      };
    }
    config["http"] = http;
    // JSON is YAML as well.
    writeFileSync(join(root, "config.yml"), JSON.stringify(config));
    child = spawn("docker-registry", ["serve", join(root, "config.yml")], { stdio: "ignore" });
    await until("docker-registry", () => answersTcp(port));
  } catch (error) {
    await stop();
    throw error;
  }
  return { host, certsDir: options.tls ? certsDir : "", scopes, [Symbol.asyncDispose]: stop };
}

function run(program: string, argv: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, argv, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${argv[0]}: ${stderr}`);
  return stdout;
}
const openssl = (argv: string[]) => run("openssl", argv);
const ecKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

/** An authority, the server's certificate by it, and a client's; the authority goes where Docker looks for it. */
export function makeCertificates(root: string, folder: string, client: boolean) {
  const at = (name: string) => join(root, name);
  openssl([
    "req",
    "-x509",
    ...ecKey,
    "-subj",
    "/CN=test authority",
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
  ]);
  const issue = (name: string, extension: string, key: string, certificate: string) => {
    openssl([
      "req",
      ...ecKey.slice(0, -2),
      "-subj",
      `/CN=${name}`,
      "-keyout",
      key,
      "-out",
      at(`${name}.csr`),
    ]);
    writeFileSync(at(`${name}.ext`), extension);
    const issuer = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial"];
    openssl([
      "x509",
      "-req",
      "-in",
      at(`${name}.csr`),
      ...issuer,
      "-days",
      "2",
      "-extfile",
      at(`${name}.ext`),
      "-out",
      certificate,
    ]);
  };
  issue("server", "subjectAltName=IP:127.0.0.1", at("server.key"), at("server.crt"));
  writeFileSync(join(folder, "ca.crt"), readFileSync(at("ca.crt")));
  if (client)
    issue("client", "extendedKeyUsage=clientAuth", join(folder, "client.key"), join(folder, "client.cert"));
  return {
    certificate: at("server.crt"),
    key: at("server.key"),
    ...(client && { clientcas: [at("ca.crt")] }),
  };
}

interface Issuer {
  key: string;
  certificate: string;
}

function makeKey(root: string): Issuer {
  const issuer = { key: join(root, "token.key"), certificate: join(root, "token.crt") };
  openssl([
    "req",
    "-x509",
    ...ecKey,
    "-subj",
    "/CN=issuer",
    "-keyout",
    issuer.key,
    "-out",
    issuer.certificate,
  ]);
  return issuer;
}

/** distribution's token server: who knows the password gets what is asked, others may pull from `public/`. */
async function startTokenServer(issuer: Issuer, scopes: string[]): Promise<Server> {
  const key = createPrivateKey(readFileSync(issuer.key));
  const certificate = readFileSync(issuer.certificate, "utf8").replace(/-----.*-----|\s/g, "");
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://x");
    const expected = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    const { authorization } = request.headers;
    if (authorization !== undefined && authorization !== expected) {
      response.writeHead(401, { "content-type": "application/json" });
      response.end('{"details":"incorrect username or password"}');
      return;
    }
    const access = url.searchParams.getAll("scope").flatMap((scope) => {
      scopes.push(scope);
      const [type = "", name = "", actions = ""] = scope.split(":");
      const allowed = actions
        .split(",")
        .filter((action) => authorization || (action === "pull" && name.startsWith("public/")));
      return allowed.length > 0 ? [{ type, name, actions: allowed }] : [];
    });
    const now = Math.floor(Date.now() / 1000);
    const header = encode({ typ: "JWT", alg: "ES256", x5c: [certificate] });
    const id = createHash("sha256").update(`${Math.random()}`).digest("hex");
    const claims = {
      iss: "test-issuer",
      sub: user,
      aud: "test-registry",
      iat: now,
      nbf: now - 10,
      exp: now + 300,
      jti: id,
    };
    const signed = `${header}.${encode({ ...claims, access })}`;
    const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ token: `${signed}.${signature.toString("base64url")}`, expires_in: 300 }));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return server;
}
