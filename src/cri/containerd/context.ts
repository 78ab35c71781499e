import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Context, CriOptions } from "../context.ts";
import type { ContextParts } from "../pods.ts";

/** What the engine on containerd's client is made of. */
export interface ContainerdParts extends ContextParts {
  readonly client: ContainerdClient;
  readonly resolver: CriOptions["resolver"];
  /** The containerd is ours: its shims start monitors for `monitor://`. */
  readonly own: boolean;
}

export type ContainerdContext = ContainerdParts & Pick<Context, "engine">;
