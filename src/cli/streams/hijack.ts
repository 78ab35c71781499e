/** Connects our stdio with a container's: attach, run, start -a and exec. */
import { Demultiplexer, type HijackedStream } from "../../engine/client.ts";
import type { Cli } from "../cli.ts";
import { Detached, DetachScanner, defaultDetachKeys, parseDetachKeys } from "./detach.ts";

export interface StdioOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
  detachKeys: string;
}

/** Resolves when the container's output has ended; throws Detached when the user left. Gives the terminal back. */
export async function connectStdio(cli: Cli, stream: HijackedStream, options: StdioOptions): Promise<void> {
  const input = options.stdin ? await openInput(cli, options) : undefined;
  const output = options.stdout || options.stderr ? copyOutput(cli, stream, options) : undefined;
  try {
    const typed = input ? copyInput(input, stream) : undefined;
    if (!output) return await typed;
    if (!typed) return await output;
    // A detach ends it; the end of stdin does not, and neither does a failure to deliver it: output says why.
    await Promise.race([
      output,
      new Promise<void>((_, reject) =>
        typed.catch((error) => {
          if (error instanceof Detached) reject(error);
        }),
      ),
    ]);
  } finally {
    input?.close();
    stream.close();
  }
}

async function copyOutput(
  cli: Cli,
  { output }: HijackedStream,
  { tty, stdout, stderr }: StdioOptions,
): Promise<void> {
  const frames = tty ? undefined : new Demultiplexer();
  for (let chunk = await output.read(); chunk; chunk = await output.read()) {
    if (!frames) {
      await cli.out.pour(chunk);
      continue;
    }
    frames.feed(chunk);
    for (let piece = frames.next(); piece; piece = frames.next()) {
      const { stream, bytes } = piece;
      if (stream === "stderr") await (stderr ? cli.err.pour(bytes) : undefined);
      else if (stream === "system") throw new Error(`error from daemon in stream: ${Buffer.from(bytes)}`);
      else if (stdout) await cli.out.pour(bytes);
    }
  }
}

interface Input {
  chunks: AsyncIterable<Uint8Array>;
  /** Undefined when keys mean nothing special. */
  scanner: DetachScanner | undefined;
  close(): void;
}

async function copyInput(input: Input, stream: HijackedStream): Promise<void> {
  for await (const chunk of input.chunks) {
    const { pass, detached } = input.scanner?.scan(chunk) ?? { pass: chunk, detached: false };
    if (pass.length > 0) await stream.write(pass);
    if (detached) throw new Detached();
  }
  await stream.end();
}

async function openInput(cli: Cli, options: StdioOptions): Promise<Input> {
  const keys = options.tty ? parseDetachKeys(options.detachKeys || defaultDetachKeys) : undefined;
  const scanner = keys && new DetachScanner(keys);
  if (options.tty && cli.stdinIsTerminal) {
    const { stdin } = process;
    stdin.setRawMode(true);
    const restore = () => void stdin.setRawMode(false);
    process.on("exit", restore);
    return {
      chunks: stdin as AsyncIterable<Uint8Array>,
      scanner,
      close: () => {
        restore();
        process.off("exit", restore);
        stdin.pause();
      },
    };
  }
  return { chunks: Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>, scanner, close: () => {} };
}
