/** Carries out a plain `exec`: one request to our own daemon, three to another. */
// Not by engine/client.ts, which would load all calls of the API for this one.
import { readResponse } from "../../engine/client/http.ts";
import { Connection } from "../../engine/client/socket.ts";
import { Demultiplexer } from "../../engine/client/streams.ts";
import { Output, stillWriting } from "../streams/output.ts";
import type { PlainExec } from "./exec.ts";
import { plainConfiguration, startingRequest, targetOf } from "./request.ts";

/**
 * The exit code; undefined when nothing has been run, and the usual way is to be gone: with its start of a daemon, its
 * older versions of the API and its words for what is wrong.
 */
export async function callPlainExec(program: string, exec: PlainExec): Promise<number | undefined> {
  const { socket, chosen } = exec.daemon;
  if (!plainConfiguration(chosen)) return undefined;
  const target = targetOf(`/containers/${exec.container}/exec`);
  let connection: Connection;
  try {
    connection = await Connection.dial({ kind: "unix", path: socket });
  } catch {
    return undefined;
  }
  let code: number | undefined;
  try {
    await connection.send(startingRequest(target, exec.body));
    const { status, raw, body } = await readResponse(connection, "POST", true);
    if (status === 201) {
      const { execElsewhere } = await import("./elsewhere.ts");
      code = await execElsewhere(program, socket, body);
    } else if (!raw) return undefined;
    else code = await copyOutput(connection);
  } catch (error) {
    const { execLost } = await import("./elsewhere.ts");
    return execLost(error, `unix://${socket}${target}`);
  } finally {
    connection.close();
  }
  const writing = stillWriting();
  if (writing) await writing;
  return code;
}

/** Passes the output on, and gives the exit code, which is our daemon's last frame. */
async function copyOutput(connection: Connection): Promise<number> {
  const frames = new Demultiplexer();
  const out = new Output(1);
  const err = new Output(2);
  for (let chunk = await connection.read(); chunk; chunk = await connection.read()) {
    frames.feed(chunk);
    for (let piece = frames.next(); piece; piece = frames.next()) {
      if (piece.stream === "status") return piece.bytes[0]!;
      await (piece.stream === "stdout" ? out : err).pour(piece.bytes);
    }
  }
  throw new Error("EOF");
}
