/** Credentials, secrets, agents and uploads of a session. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Auth } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { Secrets as SecretsService } from "../../../../proto/gen/moby/session/secrets_pb.ts";
import { BytesMessageSchema, SSH } from "../../../../proto/gen/moby/session/sshforward_pb.ts";
import {
  Upload,
  BytesMessageSchema as UploadedSchema,
} from "../../../../proto/gen/moby/session/upload_pb.ts";
import { isCode, messageOf } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import type { RegistryAuth, Secrets, SshAgents } from "../../../build/types.ts";
import type { Session } from "./sessions.ts";

/** Docker Hub's registry, which clients know the credentials of by this host. */
const hub = "registry-1.docker.io";

export function sessionAuth(session: Session): RegistryAuth {
  return async (host) => {
    if (!session.supports(Auth.method.credentials)) return undefined;
    const asked = host === "docker.io" || host === "index.docker.io" ? hub : host;
    try {
      const { Username, Secret } = await session.client.unary(Auth.method.credentials, { Host: asked });
      if (Username === "" && Secret === "") return undefined;
      // A secret without a name is a refresh token.
      return Username === "" ? { identityToken: Secret } : { username: Username, password: Secret };
    } catch (error) {
      log.debug("the client has no credentials", { host, error: messageOf(error) });
      return undefined;
    }
  };
}

export function sessionSecrets(session: Session): Secrets {
  return {
    async get(id) {
      if (!session.supports(SecretsService.method.getSecret)) return undefined;
      try {
        return (await session.client.unary(SecretsService.method.getSecret, { ID: id })).data;
      } catch (error) {
        if (isCode(error, "not_found") || isCode(error, "unimplemented")) return undefined;
        throw error;
      }
    },
  };
}

/** Sockets are made in `directory`, whose name is short: a socket's path has 107 bytes. */
export function sessionAgents(session: Session, directory: string): SshAgents {
  return {
    async open(id) {
      if (!session.supports(SSH.method.forwardAgent)) return undefined;
      try {
        await session.client.unary(SSH.method.checkAgent, { ID: id });
      } catch (error) {
        // Whether the step can do without it is the step's to say.
        log.debug("the client forwards no such agent", { id, error: messageOf(error) });
        return undefined;
      }
      return forwardAgent(session, id, directory);
    },
  };
}

async function forwardAgent(
  session: Session,
  id: string,
  directory: string,
): Promise<{ path: string; close(): Promise<void> }> {
  const path = join(directory, `build-agent-${randomBytes(8).toString("hex")}.sock`);
  const abort = new AbortController();
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    void connect(session, id, socket, abort.signal);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return {
    path,
    async close() {
      abort.abort();
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    },
  };
}

/** One connection to the client's agent. */
async function connect(session: Session, id: string, socket: Socket, signal: AbortSignal): Promise<void> {
  try {
    const call = session.client.open(SSH.method.forwardAgent, { "buildkit.ssh.id": [id] }, signal);
    socket.on("data", (data: Buffer) => {
      socket.pause();
      call
        .send(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data })))
        .then(() => socket.resume())
        .catch(() => socket.destroy());
    });
    socket.once("end", () => void call.end().catch(() => {}));
    socket.once("close", () => call.cancel());
    for await (const message of call.messages()) socket.write(fromBinary(BytesMessageSchema, message).data);
    socket.end();
  } catch {
    socket.destroy();
  }
}

/** What the client uploads under a URL of its session (`http://buildkit-session/ID`): a context from its stdin. */
export async function* sessionUpload(
  session: Session,
  url: URL,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const call = session.client.open(
    Upload.method.pull,
    { urlpath: [url.pathname], urlhost: [url.host] },
    signal,
  );
  for await (const message of call.messages()) yield fromBinary(UploadedSchema, message).data;
}
