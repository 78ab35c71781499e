import { rmSync } from "node:fs";
import { CortenError } from "../base/errors.ts";
import { frameTypes } from "../monitor/channel.ts";

/** Emulated machines on a busy host take their time; a machine that takes longer has failed. */
const patience = 180_000;
const largest = 1 << 17;

/** What a proxy says of its process. */
export type Outcome = { pid: number } | { words: string } | { area: Uint8Array };

/** Hears from the proxy that will connect to `path`. Closing before the end stops listening. */
export function listenForOutcome(path: string): { outcome: Promise<Outcome>; close(): void } {
  let settle: (outcome: Outcome) => void = () => {};
  let fail: (error: Error) => void = () => {};
  const outcome = new Promise<Outcome>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  outcome.catch(() => {});
  let input: Buffer = Buffer.alloc(0);
  const ended = () =>
    fail(new CortenError("unavailable", "the machine ended before its process was started"));
  const server = Bun.listen({
    unix: path,
    socket: {
      data(socket, data: Buffer) {
        input = Buffer.concat([input, data]);
        const length = input.length >= 8 ? input.readUInt32LE(0) : 0;
        if (input.length > largest || length > largest) {
          socket.end();
          return fail(new CortenError("unavailable", "the machine's proxy says what makes no sense"));
        }
        if (input.length < 8 || input.length < 8 + length) return;
        const payload = input.subarray(8, 8 + length);
        if (input[4] === frameTypes.ready && length === 4) settle({ pid: payload.readInt32LE(0) });
        else if (length > 4 && payload.readUInt32LE(0) === 0) settle({ area: payload.subarray(4) });
        else settle({ words: payload.toString("utf8") || "the process could not be started" });
      },
      close: ended,
      error: ended,
    },
  });
  const timer = setTimeout(
    () => fail(new CortenError("deadline_exceeded", "the machine did not start in three minutes")),
    patience,
  );
  return {
    outcome,
    close() {
      clearTimeout(timer);
      server.stop(true);
      rmSync(path, { force: true });
    },
  };
}
