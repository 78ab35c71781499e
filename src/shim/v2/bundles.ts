import { join } from "node:path";
import { Bundles } from "../record.ts";

/** What we put into a bundle: the record, and the monitors' directories. */
const ours = ["task.json", "init", "execs"];

/** Bundles that containerd makes and removes: of ours is only what we put into them. */
export class GuestBundles extends Bundles {
  readonly #paths = new Map<string, string>();

  override path(namespace: string, id: string): string {
    return this.#paths.get(`${namespace}/${id}`) ?? super.path(namespace, id);
  }

  override claim(namespace: string, id: string, bundle: string): void {
    this.#paths.set(`${namespace}/${id}`, bundle);
  }

  override remove(namespace: string, id: string): void {
    const bundle = this.path(namespace, id);
    this.forget(bundle);
    this.#paths.delete(`${namespace}/${id}`);
    for (const name of ours) this.removal.discard(join(bundle, name));
  }
}
