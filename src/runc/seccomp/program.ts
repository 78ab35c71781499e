/**
 * Classic BPF for seccomp(2), written from the last instruction to the first so that every jump's target
 * is already placed: the distance is known, and one too far for 8 bits gets an unconditional jump.
 */

/** BPF_class | mode | size, linux/bpf_common.h. */
export const opcode = {
  loadWord: 0x20, // ld [k]
  jump: 0x05, // ja k
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterOrEqual: 0x35,
  jumpSet: 0x45,
  and: 0x54,
  ret: 0x06,
} as const;

export interface Instruction {
  code: number;
  jt: number;
  jf: number;
  k: number;
}

/** A place in the program, counted from its end; comparable before the program's length is known. */
export type Label = number;

/** Program length the kernel accepts (BPF_MAXINSNS). */
const maximum = 4096;

export class ProgramBuilder {
  /** Last instruction first. */
  readonly #reversed: Instruction[] = [];
  readonly #returns = new Map<number, Label>();

  /** The label of the instruction placed last, the one that runs first so far. */
  get here(): Label {
    return this.#reversed.length;
  }

  #place(code: number, k: number, jt = 0, jf = 0): Label {
    this.#reversed.push({ code, jt, jf, k: k >>> 0 });
    return this.here;
  }

  /** `ret value`, shared when it is within reach; `near` forces it to be placed once at least. */
  ret(value: number): Label {
    const known = this.#returns.get(value);
    if (known !== undefined) return known;
    const label = this.#place(opcode.ret, value);
    this.#returns.set(value, label);
    return label;
  }

  load(offset: number): Label {
    return this.#place(opcode.loadWord, offset);
  }

  and(mask: number): Label {
    return this.#place(opcode.and, mask);
  }

  /** Makes `target` the next thing to run after what is placed before this. */
  goto(target: Label): Label {
    const skip = this.here - target;
    return skip === 0 ? target : this.#place(opcode.jump, skip);
  }

  /** `if (A op value) goto yes else goto no`. */
  branch(code: number, value: number, yes: Label, no: Label): Label {
    if (yes === no) return this.goto(yes);
    // Trampolines come first: each of them moves the conditional jump one further from the other target.
    let near = no;
    if (this.here - near > 255) near = this.#place(opcode.jump, this.here - near);
    let far = yes;
    if (this.here - far > 255) {
      far = this.#place(opcode.jump, this.here - far);
      if (this.here - near > 255) near = this.#place(opcode.jump, this.here - near);
    }
    return this.#place(code, value, this.here - far, this.here - near);
  }

  /** The program in running order. */
  finish(): Instruction[] {
    if (this.#reversed.length > maximum)
      throw new RangeError(
        `seccomp filter has ${this.#reversed.length} instructions; the kernel takes ${maximum}`,
      );
    return this.#reversed.toReversed();
  }
}

/** `struct sock_filter[]` in the byte order of the supported machines (little endian). */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach((instruction, index) => {
    view.setUint16(index * 8, instruction.code, true);
    view.setUint8(index * 8 + 2, instruction.jt);
    view.setUint8(index * 8 + 3, instruction.jf);
    view.setUint32(index * 8 + 4, instruction.k, true);
  });
  return bytes;
}
