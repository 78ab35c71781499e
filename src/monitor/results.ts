import { closeSync, ftruncateSync, readSync } from "node:fs";
import { describeErrno } from "../sys/libc.ts";
import { memfd } from "./binary.ts";
import { PlanError } from "./failure.ts";
import { results } from "./ops.gen.ts";
import type { EncodedPlan, StepTiming, StepWarning } from "./types.ts";

/** Offsets in `struct result` of native/plan.h. */
const at = { state: 16, failedStep: 20, error: 24, final: 28, start: 40, detail: 56 };

/** The memory in which the native machine notes each executed step, and the failure. Ours to read at any time. */
export class ResultArea {
  readonly fd: number;
  readonly #plan: EncodedPlan;
  readonly #size: number;

  constructor(plan: EncodedPlan) {
    this.#plan = plan;
    this.#size = results.headerBytes + plan.steps * results.stepBytes;
    this.fd = memfd("corten-result");
    ftruncateSync(this.fd, this.#size);
  }

  #read(): Buffer {
    const bytes = Buffer.alloc(this.#size);
    readSync(this.fd, bytes, 0, bytes.length, 0);
    return bytes;
  }

  /** When each step ran, in order. A step's start is the end of the one before it: nothing is concurrent. */
  timings(): StepTiming[] {
    const bytes = this.#read();
    const timings: StepTiming[] = [];
    let start = bytes.readBigUInt64LE(at.start);
    for (let step = 0; step < this.#plan.steps; step++) {
      const end = bytes.readBigUInt64LE(results.headerBytes + step * results.stepBytes);
      if (end === 0n) continue;
      timings.push({ step, name: this.#plan.describe(step), start, end });
      start = end;
    }
    return timings;
  }

  warnings(): StepWarning[] {
    const bytes = this.#read();
    const warnings: StepWarning[] = [];
    for (let step = 0; step < this.#plan.steps; step++) {
      const errno = bytes.readInt32LE(results.headerBytes + step * results.stepBytes + 8);
      if (errno === 0) continue;
      warnings.push({ step, errno, message: `${this.#plan.describe(step)}: ${describeErrno(errno)}` });
    }
    return warnings;
  }

  /** The failure that the machine noted, undefined when there is none. */
  failure(): PlanError | undefined {
    const bytes = this.#read();
    if (bytes.readUInt32LE(at.state) !== results.states.failed) return undefined;
    const detail = bytes.subarray(at.detail, at.detail + results.detailBytes);
    const end = detail.indexOf(0);
    const step = bytes.readUInt32LE(at.failedStep);
    return new PlanError(
      {
        step,
        steps: this.#plan.steps,
        errno: bytes.readInt32LE(at.error),
        detail: detail.toString("utf8", 0, end < 0 ? detail.length : end),
        final: bytes.readUInt32LE(at.final) !== 0,
      },
      this.#plan.describe(step),
    );
  }

  close(): void {
    closeSync(this.fd);
  }
}
