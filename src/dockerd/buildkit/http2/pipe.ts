/** Two ends of a connection in memory, for tests. */
import type { ByteConnection } from "./connection.ts";

class End implements ByteConnection {
  readonly #chunks: Uint8Array[] = [];
  #wake = () => {};
  #over = false;
  other: End | undefined;

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) return chunk;
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async write(data: Uint8Array): Promise<boolean> {
    if (this.#over || !this.other) return false;
    this.other.#chunks.push(new Uint8Array(data));
    this.other.#wake();
    return true;
  }

  destroy(): void {
    if (this.#over) return;
    this.#over = true;
    this.#wake();
    this.other?.destroy();
  }
}

export function pipe(): [ByteConnection, ByteConnection] {
  const [one, other] = [new End(), new End()];
  one.other = other;
  other.other = one;
  return [one, other];
}
