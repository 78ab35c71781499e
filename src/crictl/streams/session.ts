/** What exec and attach have in common once the server has given its URL: our stdio, the terminal, and how it ended. */
import { Detached, DetachScanner, defaultDetachKeys, parseDetachKeys } from "../../cli/streams/detach.ts";
import type { Call } from "../command.ts";
import { log } from "../log.ts";
import type { TlsOptions } from "./upgrade.ts";

export interface TerminalSize {
  width: number;
  height: number;
}

/** One session over any transport. */
export interface RemoteSession {
  url: URL;
  tls: TlsOptions;
  tty: boolean;
  stdin: AsyncIterable<Uint8Array> | undefined;
  /** Hears of each size of the terminal, the present one first; returns how to stop. */
  onSize: ((hear: (size: TerminalSize) => void) => () => void) | undefined;
  output(stream: "stdout" | "stderr", bytes: Uint8Array): void;
  signal: AbortSignal;
}

/** Runs until the other side is done; rejects with what it says went wrong. */
export type Transport = (session: RemoteSession) => Promise<void>;

export interface StreamRequest {
  url: string;
  transport: string;
  tls: TlsOptions;
  tty: boolean;
  stdin: boolean;
}

export async function runStream(call: Call, request: StreamRequest): Promise<void> {
  const transport = await transportNamed(request.transport);
  const url = parseUrl(request.url);
  log("debug", `URL: ${url.href}`);
  if (request.tty && !request.stdin) throw new Error("tty=true must be specified with interactive=true");
  if (request.tty && !process.stdin.isTTY) throw new Error("input is not a terminal");
  const left = new AbortController();
  const terminal = request.tty ? openTerminal(() => left.abort()) : undefined;
  try {
    await transport({
      url,
      tls: request.tls,
      tty: request.tty,
      stdin: request.stdin ? (terminal?.input ?? pipedInput()) : undefined,
      onSize: terminal?.onSize,
      output: (stream, bytes) => (stream === "stdout" ? call.print(bytes) : call.printError(bytes)),
      signal: AbortSignal.any([left.signal, call.interrupted]),
    });
  } catch (error) {
    // Whoever typed the detach keys has what they wanted.
    if (!left.signal.aborted) throw error;
  } finally {
    terminal?.close();
  }
}

async function transportNamed(name: string): Promise<Transport> {
  if (name === "spdy") return (await import("./spdy.ts")).overSpdy;
  if (name === "websocket") return (await import("./websocket.ts")).overWebSocket;
  throw new Error(`get executor: unknown transport: ${name}`);
}

/** A server may leave out who it is: then it is a kubelet on this machine. */
export function parseUrl(text: string): URL {
  try {
    return new URL(text, "http://127.0.0.1:10250");
  } catch (error) {
    throw new Error(`parse ${JSON.stringify(text)}: invalid URL`, { cause: error });
  }
}

const pipedInput = () => Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>;

function openTerminal(detach: () => void) {
  const { stdin } = process;
  stdin.setRawMode(true);
  const restore = () => void stdin.setRawMode(false);
  process.on("exit", restore);
  const scanner = new DetachScanner(parseDetachKeys(defaultDetachKeys));
  async function* typed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
      const { pass, detached } = scanner.scan(chunk);
      if (pass.length > 0) yield pass;
      if (!detached) continue;
      detach();
      throw new Detached();
    }
  }
  return {
    input: typed(),
    onSize(hear: (size: TerminalSize) => void) {
      const tell = () => {
        // Bun looks at the terminal again only when asked to.
        (process.stdout as { _refreshSize?: () => void })._refreshSize?.();
        const [width = 0, height = 0] = process.stdout.getWindowSize?.() ?? [];
        if (width > 0 && height > 0) hear({ width, height });
      };
      process.on("SIGWINCH", tell);
      tell();
      return () => void process.off("SIGWINCH", tell);
    },
    close() {
      restore();
      process.off("exit", restore);
      stdin.pause();
    },
  };
}

/** The metav1.Status on the error stream of protocol 4 and later; nothing when all went well. */
export function outcome(text: string): Error | undefined {
  if (text === "") return undefined;
  let status: {
    status?: string;
    message?: string;
    reason?: string;
    details?: { causes?: { reason?: string; message?: string }[] };
  };
  try {
    status = JSON.parse(text);
  } catch (error) {
    return new Error(`error stream protocol error: ${(error as Error).message} in ${JSON.stringify(text)}`);
  }
  if (status.status === "Success") return undefined;
  if (status.status !== "Failure") return new Error("error stream protocol error: unknown error");
  if (status.reason !== "NonZeroExitCode") return new Error(status.message ?? "");
  const code = status.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  return code === undefined
    ? new Error("error stream protocol error: no ExitCode cause given")
    : new Error(`command terminated with exit code ${code}`);
}
