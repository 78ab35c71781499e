import { closeSync, openSync } from "node:fs";
import { syscall } from "../sys/libc.ts";
import { nativePath } from "./binary.ts";
import { Channel, type ChannelEvents, socketPair } from "./channel.ts";

const dupAbove = 1030;

/**
 * Starts the native part with descriptors 3… in the given order, `channel` (ours to talk through) as the first.
 * Bun.spawn and not node:child_process: three times faster (84 against 240 µs on the reference machine).
 */
export async function startNative(
  args: string[],
  stdio: readonly [
    number | "ignore" | "inherit",
    number | "ignore" | "inherit",
    number | "ignore" | "inherit",
  ],
  fds: ReadonlyArray<number | "ignore">,
  events: ChannelEvents,
): Promise<{ channel: Channel; pid: number }> {
  const native = await nativePath();
  const pair = socketPair();
  const channel = await Channel.fromFd(pair.ours, events);
  const copies: number[] = [];
  // The child's table is built by dup2 in order: a source below the highest target could be overwritten first.
  const safe = (fd: number) => {
    if (fd > fds.length + 4) return fd;
    const copy = syscall("fcntl", [fd, dupAbove, fds.length + 5], "F_DUPFD_CLOEXEC");
    copies.push(copy);
    return copy;
  };
  try {
    // Nothing is ever written there but a sanitizer's report, which the tests want to see.
    const report = process.env["CORTEN_NATIVE_STDERR"];
    const stderr = stdio[2] === "ignore" && report ? openSync(report, "a") : stdio[2];
    if (stderr !== stdio[2]) copies.push(stderr as number);
    const passed = fds.map((fd) => (fd === "ignore" ? fd : safe(fd)));
    const child = Bun.spawn([native, ...args], {
      stdio: [stdio[0], stdio[1], stderr, safe(pair.theirs), ...passed],
      env: sanitizerOptions(),
    });
    child.unref();
    return { channel, pid: child.pid };
  } catch (error) {
    channel.close();
    throw error;
  } finally {
    // Not a moment longer: the end of the child must be the end of the channel.
    closeSync(pair.theirs);
    for (const copy of copies) closeSync(copy);
  }
}

/** Nothing of our environment goes to the native part, but where the tests' sanitizers report. */
function sanitizerOptions(): Record<string, string> {
  const options: Record<string, string> = {};
  for (const name of ["ASAN_OPTIONS", "UBSAN_OPTIONS"]) {
    const value = process.env[name];
    if (value) options[name] = value;
  }
  return options;
}
