import { expect, test } from "bun:test";
import { Screen } from "../../../test/helpers/terminal.ts";
import type { BuildStatus } from "../../engine/types.ts";
import { TtyProgress } from "./tty.ts";

const base = Date.now();
const at = (seconds: number) => new Date(base + seconds * 1000).toISOString();
const step = (digest: string, name: string, start: number, end?: number, more: object = {}): BuildStatus => ({
  vertexes: [
    { digest, name, started: at(start), ...(end === undefined ? {} : { completed: at(end) }), ...more },
  ],
});
const log = (digest: string, text: string | Uint8Array): BuildStatus => ({
  logs: [
    { vertex: digest, stream: 1, data: Buffer.from(text as string).toString("base64"), timestamp: at(0) },
  ],
});

/** A terminal that keeps every frame. */
class Recorder {
  frames: string[] = [];
  screen: Screen;
  columns: number;
  rows: number;
  constructor(columns = 60, rows = 20) {
    this.columns = columns;
    this.rows = rows;
    this.screen = new Screen(columns);
  }
  write(text: string): void {
    this.frames.push(text);
    // As the line discipline of a terminal does.
    this.screen.write(text.replaceAll("\n", "\r\n"));
  }
  size() {
    return { rows: this.rows, columns: this.columns };
  }
  /** Lines of the last frame as they are, without colours. */
  lines(): string[] {
    return (this.frames.at(-1) ?? "")
      .replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "")
      .replace(/^\r/, "")
      .split("\n")
      .slice(0, -1);
  }
}

const pause = () => Bun.sleep(130);

test("every frame replaces the one before, and the last one stays", async () => {
  const terminal = new Recorder();
  const display = new TtyProgress(terminal, "docker:default");
  display.show(step("a", "[1/2] FROM x", 0));
  await pause();
  display.show(step("a", "[1/2] FROM x", 0, 1.25, { cached: true }));
  display.show(step("b", "[2/2] RUN y", 1));
  display.show(log("b", "hello\nworld"));
  await pause();
  expect(terminal.lines().map((line) => line.replace(/\d+\.\ds$/, "S").trimEnd())).toEqual([
    expect.stringMatching(/^\[\+\] Building \d\.\ds \(1\/2\) +docker:default$/),
    expect.stringMatching(/^ => CACHED \[1\/2\] FROM x +S$/),
    expect.stringMatching(/^ => \[2\/2\] RUN y +S$/),
    " => => # hello",
    " => => # world",
  ]);
  display.show(step("b", "[2/2] RUN y", 1, 3));
  display.finish();
  display.finish();
  const text = terminal.screen.text();
  expect(text.match(/\[\+\] Building/g)).toHaveLength(1);
  expect(text).toContain("(2/2) FINISHED");
  expect(text).toMatch(/=> CACHED \[1\/2\] FROM x +1\.\ds\n => \[2\/2\] RUN y +2\.0s$/);
  expect(text).not.toContain("hello");
  expect(terminal.frames.at(-1)).toEndWith("\x1b[?25h");
});

test("no line is wider than the terminal, whatever the names and widths are", async () => {
  const terminal = new Recorder(30, 12);
  const display = new TtyProgress(terminal, "docker:default");
  display.show(step("a", `long ${"名前".repeat(40)}`, 0));
  display.show(step("b", "tab\there\x1b[31mred\x1b]0;title\x07\nnewline", 0));
  display.show({
    statuses: [
      {
        id: "sha256:0123456789abcdef0123456789",
        vertex: "a",
        name: "",
        current: 5e6,
        total: 1e9,
        timestamp: at(1),
      },
    ],
  });
  display.show(log("b", new Uint8Array([0xff, 0xfe, 0x41, 10])));
  display.show(log("b", `10%\r20%\r${"x".repeat(200)}\n\x1b[2Jcleared\x07\n`));
  for (const columns of [30, 12, 90, 5, 1]) {
    terminal.columns = columns;
    await pause();
    for (const line of terminal.lines()) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
    for (const line of terminal.lines()) expect(line).not.toMatch(/[\x00-\x1f]/);
  }
  terminal.columns = 90;
  await pause();
  expect(terminal.lines().join("\n")).toContain("tab herered newline");
  expect(terminal.lines().join("\n")).toContain("=> => # cleared");
  display.finish();
});

test("what is drawn fits on the screen; steps that run are not pushed out by hundreds that ended", async () => {
  const terminal = new Recorder(60, 10);
  const display = new TtyProgress(terminal);
  for (let n = 0; n < 300; n++) display.show(step(`d${n}`, `done ${n}`, n / 100, (n + 1) / 100));
  display.show(step("r1", "running one", 0));
  display.show(step("r2", "running two", 0));
  display.show(log("r1", "1\n2\n3\n4\n5\n6\n7\n8\n"));
  await pause();
  await pause();
  expect(terminal.lines().length).toBeLessThanOrEqual(9);
  const text = terminal.lines().join("\n");
  expect(text).toContain("running one");
  expect(text).toContain("running two");
  expect(text).toContain("done 299");
  // Up by exactly what was drawn before.
  expect(terminal.frames.at(-1)).toContain(`\x1b[${terminal.lines().length}A`);
  for (let n = 0; n < 30; n++) display.show(step(`r${n}`, `running ${n}`, 0));
  await pause();
  expect(terminal.lines().length).toBeLessThanOrEqual(9);
  display.finish();
  // The end shows all of it.
  expect(terminal.lines().length).toBeGreaterThan(300);
});

test("a terminal that got narrower has wrapped what was drawn", async () => {
  const terminal = new Recorder(80, 30);
  const display = new TtyProgress(terminal);
  display.show(step("a", "x".repeat(70), 0));
  await pause();
  const drawn = terminal.lines().map((line) => Bun.stringWidth(line));
  terminal.columns = 40;
  await pause();
  const rows = drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / 40)), 0);
  expect(terminal.frames.some((frame) => frame.includes(`\x1b[${rows}A`))).toBe(true);
  display.finish();
});

test("failures and cancellations say so", () => {
  const terminal = new Recorder(70, 20);
  const display = new TtyProgress(terminal);
  display.show(step("a", "one", 0, 1, { error: "exit code: 1" }));
  display.show(step("b", "two", 0, 1, { error: "x: context canceled" }));
  display.finish();
  expect(terminal.screen.text()).toMatch(/=> ERROR one +1\.0s\n => CANCELED two +1\.0s$/);
});
