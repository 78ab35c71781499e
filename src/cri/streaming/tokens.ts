import { randomBytes } from "node:crypto";
import { CortenError } from "../../base/errors.ts";

/** kubelet's: a request is forgotten after a minute, and a thousand of them may wait. */
const lifetime = 60_000;
const capacity = 1000;
const bytesOfToken = 16;

/** Requests that wait for their client under a token, which is good for one connection. */
export class Tokens<T> {
  readonly #waiting = new Map<string, { value: T; expires: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  put(value: T): string {
    this.#expire();
    if (this.#waiting.size >= capacity)
      throw new CortenError("resource_exhausted", "maximum number of in-flight requests exceeded");
    const token = randomBytes(bytesOfToken).toString("base64url");
    this.#waiting.set(token, { value, expires: this.#now() + lifetime });
    return token;
  }

  peek(token: string): T | undefined {
    this.#expire();
    return this.#waiting.get(token)?.value;
  }

  /** The token's end. */
  take(token: string): T | undefined {
    const value = this.peek(token);
    this.#waiting.delete(token);
    return value;
  }

  clear(): void {
    this.#waiting.clear();
  }

  /** A map keeps its order, so the oldest come first. */
  #expire(): void {
    const now = this.#now();
    for (const [token, { expires }] of this.#waiting) {
      if (expires > now) return;
      this.#waiting.delete(token);
    }
  }
}
