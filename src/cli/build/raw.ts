import type { BuildStatus } from "../../engine/types.ts";
import type { Output } from "../streams/output.ts";
import type { ProgressDisplay } from "./plain.ts";
import { BuildState } from "./state.ts";

/** `--progress rawjson`: the messages as they come, a line each. */
export class RawProgress implements ProgressDisplay {
  readonly state = new BuildState();
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  show(message: BuildStatus): void {
    this.state.apply(message);
    this.#out.line(JSON.stringify(message));
  }

  finish(): void {}
}

/** `--progress quiet`: nothing; the state is kept for the report of a failure. */
export class QuietProgress implements ProgressDisplay {
  readonly state = new BuildState();

  show(message: BuildStatus): void {
    this.state.apply(message);
  }

  finish(): void {}
}
