import { invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Callback } from "./publisher.ts";

/**
 * What `start` asks the shim server: one line of JSON there, one back, which native/shim.c also writes and reads. Not ttrpc: a
 * command that containerd runs for every container loads as little as it can.
 */
export interface ControlRequest {
  /** Is to be served from now on. */
  namespace: string;
  callback: Callback;
  /** Which version of the protocol this containerd takes is not known by its silence about versions. */
  asksVersion: boolean;
}

export interface ControlAnswer {
  pid: number;
  /** The newest version of the bootstrap protocol that containerd takes; 2 when it was not asked for. */
  version: number;
}

const longestLine = 1 << 16;
const patienceMilliseconds = 20_000;

/** The server's answer; undefined when nobody answers at the socket. Without a request only who it is. */
export async function askServer(
  socket: string,
  request: ControlRequest | undefined,
): Promise<ControlAnswer | undefined> {
  const answer = Promise.withResolvers<ControlAnswer | undefined>();
  let text = "";
  const nobody = () => answer.resolve(undefined);
  const timer = setTimeout(nobody, patienceMilliseconds);
  const decoder = new TextDecoder();
  let open: { end(): void } | undefined;
  try {
    open = await Bun.connect({
      unix: socket,
      socket: {
        open: (connection) => void connection.write(`${JSON.stringify(request ?? null)}\n`),
        data: (_, data) => {
          text += decoder.decode(data, { stream: true });
          if (text.includes("\n")) answer.resolve(answerIn(text));
        },
        end: nobody,
        close: nobody,
        error: nobody,
      },
    });
    return await answer.promise;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    open?.end();
  }
}

function answerIn(text: string): ControlAnswer | undefined {
  try {
    const { pid, version } = JSON.parse(text) as Partial<ControlAnswer>;
    return typeof pid === "number" ? { pid, version: version === 3 ? 3 : 2 } : undefined;
  } catch {
    return undefined;
  }
}

/** Namespaces become names of files; containerd's identifiers are of these characters. */
const identifier = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;

export const isIdentifier = (text: string): boolean => text.length <= 76 && identifier.test(text);

function requestIn(text: string): ControlRequest | null {
  const request = JSON.parse(text) as Partial<ControlRequest> | null;
  if (request === null) return null;
  const { namespace, callback, asksVersion } = request;
  if (typeof namespace !== "string" || !isIdentifier(namespace))
    throw invalid(`namespace ${JSON.stringify(namespace)} is no identifier`);
  const addresses = [callback?.ttrpcAddress, callback?.grpcAddress, callback?.publishBinary];
  if (!callback || addresses.some((value) => typeof value !== "string"))
    throw invalid("containerd's addresses are missing");
  return { namespace, callback, asksVersion: asksVersion === true };
}

/** Serves the questions at a socket that only root can use; `handle` gives the version to answer. */
export function serveControl(
  path: string,
  handle: (request: ControlRequest | null) => number | Promise<number>,
): { stop(closeActive?: boolean): void } {
  const asked = new WeakMap<object, string>();
  const mask = process.umask(0o177);
  try {
    return Bun.listen<undefined>({
      unix: path,
      socket: {
        async data(connection, data) {
          const text = (asked.get(connection) ?? "") + data.toString("utf8");
          asked.set(connection, text);
          if (!text.includes("\n")) {
            if (text.length > longestLine) connection.end();
            return;
          }
          try {
            const version = await handle(requestIn(text));
            connection.write(`${JSON.stringify({ pid: process.pid, version })}\n`);
          } catch (error) {
            log.warn("a question is refused", { error: messageOf(error) });
          } finally {
            connection.end();
          }
        },
      },
    });
  } finally {
    process.umask(mask);
  }
}
