import type { CrioConfig } from "./config/types.ts";
import { openPodsOn, wipeContainers, wipeImages } from "./server.ts";

/** `crio wipe`: opens the store without serving, and removes the pods and, if asked, the images. */
export async function wipeNow(config: CrioConfig, images: boolean): Promise<void> {
  const { context, store, backend } = await openPodsOn(config, { search: [], rules: [], aliases: {} });
  try {
    await wipeContainers(context);
    if (images) await wipeImages(store);
  } finally {
    await backend.close();
  }
}
