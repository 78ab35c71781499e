/** A terminal of the test's own: a program runs on a pty, and what its screen shows at the end can be read. */

/** Just enough of a VT100 for what command lines write: text, CR, LF, BS, cursor up and down, erasing. */
export class Screen {
  readonly #columns: number;
  readonly #rows: string[][] = [[]];
  #row = 0;
  #column = 0;
  constructor(columns: number) {
    this.#columns = columns;
  }

  write(text: string): void {
    for (const token of text.match(/\x1b\[[?0-9;]*[A-Za-z]|[\s\S]/gu) ?? []) this.#token(token);
  }

  #token(token: string): void {
    if (token.startsWith("\x1b[")) this.#control(token.at(-1)!, token.slice(2, -1));
    else if (token === "\r") this.#column = 0;
    else if (token === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (token === "\n") this.#line(this.#row + 1);
    else if (token >= " ") {
      if (this.#column >= this.#columns) {
        this.#line(this.#row + 1);
        this.#column = 0;
      }
      const row = this.#rows[this.#row]!;
      while (row.length < this.#column) row.push(" ");
      row[this.#column++] = token;
    }
  }

  #control(kind: string, argument: string): void {
    const count = Number(argument) || 1;
    const row = this.#rows[this.#row]!;
    if (kind === "A") this.#row = Math.max(0, this.#row - count);
    else if (kind === "B") this.#line(this.#row + count);
    else if (kind === "C") this.#column += count;
    else if (kind === "D") this.#column = Math.max(0, this.#column - count);
    else if (kind === "K") this.#rows[this.#row] = argument === "2" ? [] : row.slice(0, this.#column);
    else if (kind === "J" && argument !== "") this.#rows.fill([], 0);
    else if (kind === "J") {
      this.#rows.length = this.#row + 1;
      this.#rows[this.#row] = row.slice(0, this.#column);
    }
  }

  #line(row: number): void {
    this.#row = row;
    while (this.#rows.length <= row) this.#rows.push([]);
  }

  /** What is shown, without trailing blanks. */
  text(): string {
    return this.#rows
      .map((row) => row.join("").trimEnd())
      .join("\n")
      .trimEnd();
  }
}

/** Written on the terminal after the program's end: what was read before it is all that the program wrote. */
const mark = "\0the end\0";

export interface OnTerminal extends AsyncDisposable {
  /** All that was written. */
  readonly raw: string;
  readonly screen: Screen;
  readonly exited: Promise<number>;
  type(text: string): void;
  resize(columns: number, rows: number): void;
  /** Resolves when the text has been written after what an earlier call waited for. */
  waitFor(text: string): Promise<void>;
}

/** Runs a program on a terminal of this size. */
export function onTerminal(
  argv: string[],
  options: { columns?: number; rows?: number; env?: Record<string, string> } = {},
): OnTerminal {
  const { columns = 120, rows = 30 } = options;
  const screen = new Screen(columns);
  const decoder = new TextDecoder();
  let raw = "";
  let seen = 0;
  let wake = () => {};
  /** May be the beginning of the mark. */
  let held = "";
  const ended = Promise.withResolvers<void>();
  const terminal = new Bun.Terminal({
    cols: columns,
    rows,
    data(_, bytes) {
      const text = held + decoder.decode(bytes, { stream: true });
      const whole = text.indexOf(mark);
      const begun = whole >= 0 ? whole : text.lastIndexOf("\0");
      const shown =
        begun >= 0 && mark.startsWith(text.slice(begun, begun + mark.length)) ? begun : text.length;
      held = text.slice(shown);
      raw += text.slice(0, shown);
      screen.write(text.slice(0, shown));
      if (whole >= 0) ended.resolve();
      wake();
    },
  });
  const child = Bun.spawn(argv, {
    env: { ...process.env, TERM: "xterm", ...options.env },
    terminal,
  });
  return {
    get raw() {
      return raw;
    },
    screen,
    // What was written last may still be on its way when the process is gone.
    exited: child.exited.then(async (code) => {
      const told = await Bun.spawn(["printf", mark.replaceAll("\0", "\\0")], { terminal }).exited;
      // On a terminal that its program has hung up there is nothing more to come.
      if (told === 0) await ended.promise;
      return code;
    }),
    type: (text) => void terminal.write(text),
    resize(newColumns, newRows) {
      terminal.resize(newColumns, newRows);
      // The kernel tells only a session whose controlling terminal this is, and Bun makes it none.
      child.kill("SIGWINCH");
    },
    async waitFor(text) {
      const limit = Date.now() + 120_000;
      for (;;) {
        const at = raw.indexOf(text, seen);
        if (at >= 0) {
          seen = at + text.length;
          return;
        }
        if (Date.now() > limit)
          throw new Error(`waited 120 s for ${JSON.stringify(text)} after:\n${JSON.stringify(raw)}`);
        await new Promise<void>((next) => {
          wake = next;
          setTimeout(next, 1000);
        });
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      // Whoever waits for the mark would wait for ever.
      ended.resolve();
      terminal.close();
    },
  };
}
