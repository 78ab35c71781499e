import { CortenError } from "../base/errors.ts";
import { describeErrno } from "../sys/libc.ts";
import { answerBit, readRequest, writeRequest } from "./request.ts";

/** What the guest answers is as little to be trusted as the guest. */
const largestAnswer = (1 << 20) + 64;

interface Answer {
  error: number;
  content: Buffer;
}

/** Sends requests to the agent of a machine, over a channel of their own, and gives the answers in their order. */
export function askAgent(
  socket: string,
  requests: readonly Uint8Array[],
  patience = 10_000,
): Promise<Answer[]> {
  return new Promise((resolve, reject) => {
    const answers: Answer[] = [];
    let input: Buffer = Buffer.alloc(0);
    let done = false;
    let connection: import("bun").Socket<undefined> | undefined;
    const finish = (error?: Error) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      connection?.end();
      if (error) reject(error);
      else resolve(answers);
    };
    const fail = (what: string) => finish(new CortenError("unavailable", `the machine ${what}`));
    const timer = setTimeout(() => fail("does not answer"), patience);
    const output = Buffer.concat(requests);
    let sent = 0;
    const flush = (socket: import("bun").Socket<undefined>) => {
      if (sent < output.length) sent += Math.max(0, socket.write(output.subarray(sent)));
    };
    Bun.connect({
      unix: socket,
      socket: {
        open(opened) {
          connection = opened;
          flush(opened);
        },
        drain: flush,
        data(_, data: Buffer) {
          input = Buffer.concat([input, data]);
          while (input.length >= 8 && !done) {
            const length = input.readUInt32LE(0);
            if (length < 4 || length > largestAnswer || ((input[4] ?? 0) & answerBit) === 0)
              return fail("answers what is no answer");
            if (input.length < 8 + length) return;
            answers.push({ error: input.readInt32LE(8), content: input.subarray(12, 8 + length) });
            input = input.subarray(8 + length);
            if (answers.length === requests.length) finish();
          }
        },
        close: () => fail("has ended"),
        error: () => fail("has ended"),
        connectError: () => fail("is not running"),
      },
    }).catch(() => fail("is not running"));
  });
}

/** Contents of files inside, undefined for those that cannot be read. */
export async function readInGuest(socket: string, paths: readonly string[]): Promise<(string | undefined)[]> {
  const answers = await askAgent(
    socket,
    paths.map((path) => readRequest(path)),
  );
  return answers.map(({ error, content }) => (error === 0 ? content.toString("utf8") : undefined));
}

/** Writes a file inside; throws with the guest's reason. */
export async function writeInGuest(socket: string, path: string, content: string): Promise<void> {
  const [answer] = await askAgent(socket, [writeRequest(path, content)]);
  if (answer && answer.error !== 0)
    throw new CortenError(
      "failed_precondition",
      `write ${path} in the machine: ${describeErrno(-answer.error)}`,
    );
}
