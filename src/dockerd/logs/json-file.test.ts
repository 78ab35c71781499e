import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogQuery, openLog, readLog } from "./json-file.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-log-"));
  path = join(directory, "x-json.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const line = (number: number) =>
  `${JSON.stringify({ log: `${number}\n`, stream: number % 2 ? "stderr" : "stdout", time: `2026-01-01T00:00:${String(number).padStart(2, "0")}.5Z` })}\n`;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => line(from + index)).join("");
const never = new AbortController().signal;

async function read(query: Partial<LogQuery> = {}): Promise<string[]> {
  const out: string[] = [];
  for await (const entry of readLog(await openLog(path), { signal: never, ...query }))
    out.push(entry.text.trim());
  return out;
}

test("a log that is not there yet is empty", async () => {
  expect(await read()).toEqual([]);
  expect(await read({ tail: 5 })).toEqual([]);
});

test("rotated files come first, oldest first", async () => {
  writeFileSync(`${path}.2`, lines(0, 2));
  writeFileSync(`${path}.1`, lines(2, 4));
  writeFileSync(path, lines(4, 6));
  expect(await read()).toEqual(["0", "1", "2", "3", "4", "5"]);
});

test("a tail reaches back into rotated files", async () => {
  writeFileSync(`${path}.1`, lines(0, 4));
  writeFileSync(path, lines(4, 6));
  for (const [tail, expected] of [
    [0, []],
    [1, ["5"]],
    [2, ["4", "5"]],
    [3, ["3", "4", "5"]],
    [6, ["0", "1", "2", "3", "4", "5"]],
    [99, ["0", "1", "2", "3", "4", "5"]],
  ] as const)
    expect(await read({ tail })).toEqual([...expected]);
});

test("what is written while it is read is not part of it, unless it is followed", async () => {
  writeFileSync(path, lines(0, 3));
  for (const [tail, expected] of [
    [1, ["2"]],
    [undefined, ["0", "1", "2", "3"]],
  ] as const) {
    const out: string[] = [];
    for await (const { text } of readLog(await openLog(path), { signal: never, ...(tail && { tail }) })) {
      out.push(text.trim());
      appendFileSync(path, line(out.length + 2));
    }
    expect(out).toEqual([...expected]);
  }
});

test("since and until bound by time", async () => {
  writeFileSync(path, lines(0, 6));
  const at = (second: number) => BigInt(Date.parse(`2026-01-01T00:00:0${second}Z`)) * 1_000_000n;
  expect(await read({ since: at(3) })).toEqual(["3", "4", "5"]);
  expect(await read({ until: at(2) })).toEqual(["0", "1"]);
});

test("following gives what is appended, across a rotation, until the end", async () => {
  writeFileSync(path, lines(0, 2));
  let running = true;
  let ring = () => {};
  const out: string[] = [];
  for await (const entry of readLog(await openLog(path), {
    signal: never,
    follow: () => running,
    onEnd: (wake) => {
      ring = wake;
    },
  })) {
    out.push(entry.text.trim());
    if (out.length === 2) appendFileSync(path, lines(2, 4));
    if (out.length === 4) {
      appendFileSync(path, lines(4, 5));
      renameSync(path, `${path}.1`);
      writeFileSync(path, lines(5, 7));
    }
    if (out.length === 7) {
      appendFileSync(path, lines(7, 8));
      running = false;
      ring();
    }
  }
  expect(out).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
});

/** As the monitor does it. */
function rotate(until = 99) {
  for (let number = until; number > 0; number--)
    try {
      renameSync(number > 1 ? `${path}.${number - 1}` : path, `${path}.${number}`);
    } catch {}
}

async function follow(steps: Record<number, (end: () => void) => void>): Promise<string[]> {
  let running = true;
  let ring = () => {};
  const out: string[] = [];
  const end = () => {
    running = false;
    ring();
  };
  const query: LogQuery = {
    signal: never,
    follow: () => running,
    onEnd: (wake) => {
      ring = wake;
    },
  };
  for await (const entry of readLog(await openLog(path), query)) {
    out.push(entry.text.trim());
    steps[out.length]?.(end);
  }
  return out;
}

test("following misses nothing of a log that is rotated faster than it is read", async () => {
  writeFileSync(path, lines(0, 1));
  const out = await follow({
    1: () => {
      for (let number = 1; number < 10; number++) {
        rotate();
        writeFileSync(path, lines(number, number + 1));
      }
    },
    5: () => {
      rotate();
      writeFileSync(path, lines(10, 12));
    },
    12: (end) => {
      // All but the last two files are gone: what was in them is lost, what is there is not.
      for (let number = 12; number < 16; number++) {
        rotate();
        writeFileSync(path, lines(number, number + 1));
      }
      for (let number = 2; number < 99; number++) rmSync(`${path}.${number}`, { force: true });
      end();
    },
  });
  expect(out).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "14", "15"]);
});

test("following a log of one file goes on at its beginning when it starts again", async () => {
  writeFileSync(path, lines(0, 3));
  const out = await follow({
    3: () => writeFileSync(path, lines(3, 4)),
    4: (end) => end(),
  });
  expect(out).toEqual(["0", "1", "2", "3"]);
});

test("a log is whole that is opened in the middle of a rotation", async () => {
  writeFileSync(`${path}.3`, lines(0, 1));
  writeFileSync(`${path}.1`, lines(1, 2));
  writeFileSync(path, lines(2, 3));
  const reading = read();
  setTimeout(() => renameSync(`${path}.1`, `${path}.2`), 4);
  setTimeout(() => renameSync(path, `${path}.1`), 8);
  setTimeout(() => writeFileSync(path, lines(3, 4)), 12);
  expect(await reading).toEqual(["0", "1", "2", "3"]);
});

test("a rotation that was broken off is not waited for", async () => {
  writeFileSync(`${path}.3`, lines(0, 1));
  writeFileSync(`${path}.1`, lines(1, 2));
  expect(await read()).toEqual(["0", "1"]);
});

test("a record cut short by a crash is passed over", async () => {
  writeFileSync(path, `${line(0)}{"log":"brok\n${line(1)}`);
  expect(await read()).toEqual(["0", "1"]);
});

test("what was in an open log is read after its removal", async () => {
  writeFileSync(path, lines(0, 2));
  const log = await openLog(path);
  rmSync(directory, { recursive: true });
  const out: string[] = [];
  for await (const entry of readLog(log, { signal: never, follow: () => false })) out.push(entry.text.trim());
  expect(out).toEqual(["0", "1"]);
});
