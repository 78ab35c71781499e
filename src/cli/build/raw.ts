import type { BuildStatus } from "../../engine/types.ts";
import type { ProgressDisplay, Sink } from "./plain.ts";
import { BuildState } from "./state.ts";

/** `--progress rawjson`: the messages as they come, a line each. */
export class RawProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Sink;

  constructor(out: Sink) {
    this.#out = out;
  }

  show(message: BuildStatus): void {
    this.state.apply(message);
    this.#out.write(`${JSON.stringify(message)}\n`);
  }

  finish(): void {}
}

/** `--progress quiet`: nothing; the state is kept. */
export class QuietProgress implements ProgressDisplay {
  readonly state = new BuildState();

  show(message: BuildStatus): void {
    this.state.apply(message);
  }

  finish(): void {}
}
