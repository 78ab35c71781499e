import { CortenError } from "../../base/errors.ts";
import { type EncodableOperation, encodeOperations } from "../../monitor/encode.ts";
import type { EncodedPlan } from "../../monitor/index.ts";
import { limits, type OperationShape, type Role, type Slot } from "../../monitor/ops.gen.ts";
import { describe } from "./describe.ts";
import { type PlanOperation, planOperations } from "./ops.gen.ts";

/**
 * An operation of a plan. `role` may be left out where the table allows only one; a `tolerant` operation that
 * fails is recorded as a warning and the plan goes on; `reason` names the config field it comes from.
 */
export type PlannedOperation = PlanOperation & { role?: Role; tolerant?: boolean; reason?: string };

/**
 * Collects the operations of one plan in the order in which they will happen, whichever process runs them:
 * the machine hands a baton from role to role, so that nothing of a plan is concurrent.
 */
export class PlanBuilder {
  readonly operations: PlannedOperation[] = [];
  readonly #fds: number[] = [];
  #slots = 0;

  /** Passes a descriptor of ours into the plan. All of them come before the first `slot()`. */
  fd(descriptor: number): Slot {
    if (this.#slots !== this.#fds.length)
      throw new CortenError("internal", "descriptors are passed before slots are made");
    this.#fds.push(descriptor);
    return this.slot();
  }

  /** A fresh slot for an operation's `out`. */
  slot(): Slot {
    if (this.#slots >= limits.slots)
      throw new CortenError("invalid_argument", `a plan of more than ${limits.slots} file descriptors`);
    return this.#slots++;
  }

  add(...operations: PlannedOperation[]): this {
    this.operations.push(...operations);
    return this;
  }

  encode(): EncodedPlan {
    return encodePlan(this.operations, this.#fds);
  }
}

/** Encodes operations for the native machine; `fds` become slots 0, 1, … */
export function encodePlan(operations: readonly PlannedOperation[], fds: number[]): EncodedPlan {
  const encodable = operations.map((operation): EncodableOperation => {
    const shape: OperationShape = planOperations[operation.op];
    const role = operation.role ?? (shape.roles.length === 1 ? shape.roles[0] : undefined);
    if (!role) throw new CortenError("internal", `${operation.op} needs a role: ${shape.roles.join(" or ")}`);
    return {
      name: operation.op,
      shape,
      role,
      tolerant: operation.tolerant ?? false,
      values: { ...operation },
    };
  });
  return {
    bytes: encodeOperations(encodable, fds.length),
    fds,
    steps: operations.length,
    describe(step) {
      const operation = operations[step];
      return operation ? describe(operation) : `step ${step + 1}`;
    },
  };
}
