import { findKernel } from "./kernel.ts";
import { machineOf } from "./runtime.ts";
import { vmSettings } from "./settings.ts";

/** To find out by trying takes seconds where KVM does not work; who asks for information does not wait for it. */
const patience = 200;

/** For `docker info`: that machines are emulated. Nothing where there are none, or while it is not known yet. */
export async function machineWarning(): Promise<string | undefined> {
  try {
    const machine = machineOf();
    if (!machine.program()) return undefined;
    findKernel(vmSettings());
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, patience));
    const acceleration = await Promise.race([machine.acceleration(), late]);
    if (acceleration?.kind !== "emulation") return undefined;
    return `WARNING: --runtime vm emulates its machines, which is slow: ${acceleration.reason}`;
  } catch {
    // No kernel, or settings that the first machine will complain of.
    return undefined;
  }
}
