/** Asks a question on the terminal. */
import type { Cli } from "../cli.ts";

/** A line of what is typed; a secret one is not shown. */
export async function ask(cli: Cli, question: string, secret: boolean): Promise<string> {
  cli.out.write(question);
  const { stdin } = process;
  if (secret) stdin.setRawMode(true);
  let line = "";
  try {
    for await (const chunk of stdin) {
      for (const char of Buffer.from(chunk as Uint8Array).toString()) {
        if (char === "\r" || char === "\n") return line;
        if (char === "\x03") process.exit(130);
        line = char === "\x7f" && secret ? line.slice(0, -1) : line + char;
      }
    }
    return line;
  } finally {
    if (secret) {
      stdin.setRawMode(false);
      cli.out.write("\n");
    }
    stdin.pause();
  }
}
