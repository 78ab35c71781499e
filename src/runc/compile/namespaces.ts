import { invalid } from "../../base/errors.ts";
import type { LinuxNamespace, LinuxNamespaceType, Spec } from "../../oci/runtime-spec.ts";

/** CLONE_NEW* by the configuration's name. */
export const namespaceFlag: Record<LinuxNamespaceType, number> = {
  user: 0x10000000,
  mount: 0x00020000,
  uts: 0x04000000,
  ipc: 0x08000000,
  network: 0x40000000,
  pid: 0x20000000,
  cgroup: 0x02000000,
  time: 0x00000080,
};

/** Names in /proc/pid/ns by the configuration's. */
export const namespaceFile: Record<LinuxNamespaceType, string> = {
  user: "user",
  mount: "mnt",
  uts: "uts",
  ipc: "ipc",
  network: "net",
  pid: "pid",
  cgroup: "cgroup",
  time: "time",
};

/** Which namespaces a container has of its own, and which it joins by path. */
export class Namespaces {
  readonly #byType = new Map<LinuxNamespaceType, LinuxNamespace>();

  constructor(spec: Spec) {
    for (const namespace of spec.linux?.namespaces ?? []) {
      if (!(namespace.type in namespaceFlag))
        throw invalid(`namespace ${JSON.stringify(namespace)} does not exist`);
      if (this.#byType.has(namespace.type))
        throw invalid(`malformed spec file: duplicated ns ${JSON.stringify(namespace)}`);
      this.#byType.set(namespace.type, namespace);
    }
  }

  /** True when the container does not share the runtime's namespace of this type. */
  has(type: LinuxNamespaceType): boolean {
    return this.#byType.has(type);
  }

  isNew(type: LinuxNamespaceType): boolean {
    return this.has(type) && !this.pathOf(type);
  }

  pathOf(type: LinuxNamespaceType): string | undefined {
    return this.#byType.get(type)?.path || undefined;
  }

  types(): LinuxNamespaceType[] {
    return [...this.#byType.keys()];
  }

  /** Those to join, user first: joining the others may need the rights that it gives. */
  joined(): { type: LinuxNamespaceType; path: string }[] {
    const order = Object.keys(namespaceFlag) as LinuxNamespaceType[];
    return order.flatMap((type) => {
      const path = this.pathOf(type);
      return path ? [{ type, path }] : [];
    });
  }
}
