/** The keys that leave a container running and give the terminal back. */
import { CortenError } from "../../base/errors.ts";

export const defaultDetachKeys = "ctrl-p,ctrl-q";

/** Thrown when the user typed the detach keys. */
export class Detached extends Error {
  constructor() {
    super("read escape sequence");
  }
}

/** `ctrl-p,ctrl-q`, `a,b`, `ctrl-[`: the bytes they send. */
export function parseDetachKeys(text: string): number[] {
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined)
      throw new CortenError("invalid_argument", `invalid detach keys (${text}): Unknown character: '${key}'`);
    return control.toUpperCase().charCodeAt(0) & 0x1f;
  });
}

/** Watches what is typed; keys of a sequence that was begun are held back until it is clear that it is none. */
export class DetachScanner {
  readonly #keys: readonly number[];
  #matched = 0;
  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** The bytes to send on, and whether the sequence was completed. */
  scan(bytes: Uint8Array): { pass: Uint8Array; detached: boolean } {
    const pass: number[] = [];
    for (const byte of bytes) {
      if (byte !== this.#keys[this.#matched]) {
        pass.push(...this.#keys.slice(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) pass.push(byte);
      else if (++this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detached: true };
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}
