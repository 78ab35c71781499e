/** The window that SPDY/3.1 gives a connection before its first update: section 2.6.8. */
const firstWindow = 64 * 1024;
/** Credit is given in portions of this many bytes. */
const portion = 16 * 1024;
const largest = 0x7fffffff;

/**
 * Bytes that may be sent. Kubernetes' own SPDY has no flow control: it neither keeps to windows nor ever gives
 * an update, and who waited for one would wait for ever. So a window counts only for a peer that has announced
 * one in SETTINGS.
 */
export class SendWindow {
  #left: number;
  #waiting: Array<() => void> = [];

  constructor(size = Number.POSITIVE_INFINITY) {
    this.#left = size;
  }

  get left(): number {
    return Math.max(0, this.#left);
  }

  take(bytes: number): void {
    this.#left -= bytes;
  }

  /** False when it grows beyond what the protocol can count. */
  add(bytes: number): boolean {
    this.#left += bytes;
    this.wake();
    return this.#left === Number.POSITIVE_INFINITY || this.#left <= largest;
  }

  set(size: number): void {
    this.#left = size;
    this.wake();
  }

  /** The next time it changes, or the connection ends. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The flow control of one connection, once the peer has announced that it does any. */
export class FlowControl {
  on = false;
  initial = Number.POSITIVE_INFINITY;
  readonly connection = new SendWindow();
  #owed = 0;

  /** SETTINGS with a window for streams: gives what each open stream's window changes by. */
  announce(size: number): number | "first" {
    const before = this.initial;
    this.initial = size;
    if (this.on) return size - before;
    this.on = true;
    this.connection.set(firstWindow);
    return "first";
  }

  /** Counts what was consumed on `owed` for a stream; gives the credits to send now. */
  consumed(owed: { bytes: number }, bytes: number): { stream: number; connection: number } {
    owed.bytes += bytes;
    this.#owed += bytes;
    const credit = { stream: 0, connection: 0 };
    if (!this.on) return credit;
    if (owed.bytes >= portion) [credit.stream, owed.bytes] = [owed.bytes, 0];
    if (this.#owed >= portion) [credit.connection, this.#owed] = [this.#owed, 0];
    return credit;
  }
}
