/** Asks a question on the terminal. */
import { fs } from "../../base/lazy.ts";
import type { Cli } from "../cli.ts";

/** A line of what is typed; a secret one is not shown. */
export async function ask(cli: Cli, question: string, secret: boolean): Promise<string> {
  // Before the question: who answers at once must not be shown either.
  if (secret) process.stdin.setRawMode(true);
  try {
    cli.out.write(question);
    return await readLine();
  } finally {
    if (secret) {
      process.stdin.setRawMode(false);
      cli.out.write("\n");
    }
  }
}

/** Up to the end of a line, no byte more: the next question's answer may wait behind it. */
async function readLine(): Promise<string> {
  const line: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const count = await new Promise<number>((resolve, reject) =>
      fs().read(0, one, 0, 1, null, (error, read) => (error ? reject(error) : resolve(read))),
    );
    const [byte = 0] = one;
    if (count === 0 || byte === 0x0d || byte === 0x0a) return Buffer.from(line).toString();
    if (byte === interrupt) process.exit(130);
    // Without its editing (a secret), the terminal gives the erase key as it is.
    if (byte === erase) line.pop();
    else line.push(byte);
  }
}

const interrupt = 0x03;
const erase = 0x7f;
