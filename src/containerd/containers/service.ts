import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ContainerCreateSchema,
  ContainerDeleteSchema,
  ContainerUpdateSchema,
} from "../../../proto/gen/containerd/events/container_pb.ts";
import {
  type Container,
  ContainerSchema,
  type Containers,
} from "../../../proto/gen/containerd/services/containers/v1/containers_pb.ts";
import {
  alreadyExists,
  invalid,
  invalid as invalidArgument,
  messageOf,
  notFound,
} from "../../base/errors.ts";
import { checkIdentifier, checkLabels, mergeLabels, namespaceOf } from "../context.ts";
import type { Exchange } from "../events/exchange.ts";
import { fields, parseListFilters } from "../filters.ts";
import type { Metadata } from "../metadata/metadata.ts";

const mostCreated = 16;

/** Container records: what they are, not whether they run. */
export class ContainerStore {
  readonly #metadata: Metadata;
  /** The containers created last, as long as nobody has changed them or started their task. */
  readonly #created = new Map<string, Container>();
  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  get(namespace: string, id: string): Container {
    const row = this.#metadata.db.get(
      "SELECT record FROM containers WHERE namespace = ? AND id = ?",
      namespace,
      id,
    );
    if (!row) throw missing(namespace, id);
    return fromBinary(ContainerSchema, row["record"] as Uint8Array);
  }

  /** As `get`, once for a container just created: the message itself, whose spec need not be decoded again. */
  getForTask(namespace: string, id: string): Container {
    const key = `${namespace}/${id}`;
    const container = this.#created.get(key);
    this.#created.delete(key);
    return container ?? this.get(namespace, id);
  }

  /** Fails as `get` does, without reading the record. */
  check(namespace: string, id: string): void {
    if (!this.#exists(namespace, id)) throw missing(namespace, id);
  }

  list(namespace: string, filters: readonly string[]): Container[] {
    const filter = parseListFilters(filters);
    return this.#metadata.db
      .all("SELECT record FROM containers WHERE namespace = ?", namespace)
      .map((row) => fromBinary(ContainerSchema, row["record"] as Uint8Array))
      .filter((container) =>
        filter(
          fields(
            { id: container.id, image: container.image, "runtime.name": container.runtime?.name },
            container.labels,
          ),
        ),
      );
  }

  create(namespace: string, container: Container): Container {
    checkContainer(container, "create container");
    const now = timestampNow();
    const record = create(ContainerSchema, { ...container, createdAt: now, updatedAt: now });
    this.#metadata.db.transaction(() => {
      this.#metadata.ensureNamespace(namespace);
      if (this.#exists(namespace, container.id))
        throw alreadyExists(`container "${container.id}": already exists`);
      this.#put(namespace, record);
    });
    if (this.#created.size >= mostCreated) this.#created.delete(this.#created.keys().next().value!);
    this.#created.set(`${namespace}/${record.id}`, record);
    return record;
  }

  update(namespace: string, wanted: Container, paths: readonly string[]): Container {
    if (wanted.id === "") throw invalid("must specify a container id: invalid argument");
    this.#created.delete(`${namespace}/${wanted.id}`);
    return this.#metadata.db.transaction(() => {
      if (!this.#exists(namespace, wanted.id)) throw notFound(`container "${wanted.id}": not found`);
      const record = merge(this.get(namespace, wanted.id), wanted, paths);
      checkContainer(record, "update");
      record.updatedAt = timestampNow();
      this.#put(namespace, record);
      return record;
    });
  }

  delete(namespace: string, id: string): void {
    this.#created.delete(`${namespace}/${id}`);
    const gone = this.#metadata.db.run(
      "DELETE FROM containers WHERE namespace = ? AND id = ?",
      namespace,
      id,
    );
    if (gone === 0) throw notFound(`container ${id}: not found`);
  }

  #exists(namespace: string, id: string): boolean {
    return (
      this.#metadata.db.get("SELECT 1 FROM containers WHERE namespace = ? AND id = ?", namespace, id) !==
      undefined
    );
  }

  #put(namespace: string, container: Container): void {
    this.#metadata.db.run(
      "INSERT OR REPLACE INTO containers (namespace, id, snapshotter, snapshot_key, labels, record) VALUES (?, ?, ?, ?, ?, ?)",
      namespace,
      container.id,
      container.snapshotter,
      container.snapshotKey,
      JSON.stringify(container.labels),
      toBinary(ContainerSchema, container),
    );
  }
}

const missing = (namespace: string, id: string) =>
  notFound(`container "${id}" in namespace "${namespace}": not found`);

function checkContainer(container: Container, what: string): void {
  const invalid = (why: string) => invalidArgument(`${what} failed validation: ${why}: invalid argument`);
  try {
    checkIdentifier(container.id);
  } catch (error) {
    throw invalidArgument(`${what} failed validation: container.ID: ${messageOf(error)}`);
  }
  checkLabels(container.labels);
  for (const key of Object.keys(container.extensions))
    if (key === "") throw invalid("container.Extension keys must not be zero-length");
  if (!container.runtime?.name) throw invalid("container.Runtime.Name must be set");
  if (!container.spec) throw invalid("container.Spec must be set");
  if (container.snapshotKey !== "" && container.snapshotter === "")
    throw invalid("container.Snapshotter must be set if container.SnapshotKey is set");
}

/** Applies a field mask; runtime and snapshotter cannot change. */
function merge(before: Container, wanted: Container, paths: readonly string[]): Container {
  const record = create(ContainerSchema, { ...before });
  if (paths.length === 0) {
    if (wanted.runtime && wanted.runtime.name !== before.runtime?.name)
      throw invalid("container.Runtime.Name field is immutable: invalid argument");
    if (wanted.snapshotter !== before.snapshotter)
      throw invalid("container.Snapshotter field is immutable: invalid argument");
    const { labels, image, spec, snapshotKey, extensions } = wanted;
    Object.assign(record, { labels, image, spec, snapshotKey, extensions });
    return record;
  }
  record.labels = paths.some((path) => path === "labels" || path.startsWith("labels."))
    ? mergeLabels(before.labels, wanted.labels, paths)
    : before.labels;
  for (const path of paths) {
    if (path.startsWith("extensions.")) {
      const key = path.slice("extensions.".length);
      const extensions = { ...record.extensions };
      const value = wanted.extensions[key];
      if (value) extensions[key] = value;
      else delete extensions[key];
      record.extensions = extensions;
    } else if (path === "extensions") record.extensions = wanted.extensions;
    else if (path === "image") record.image = wanted.image;
    else if (path === "spec") {
      if (wanted.spec) record.spec = wanted.spec;
    } else if (path === "snapshotkey" || path === "snapshot_key") record.snapshotKey = wanted.snapshotKey;
    else if (path !== "labels" && !path.startsWith("labels."))
      throw invalid(`cannot update "${path}" field on "${before.id}": invalid argument`);
  }
  return record;
}

export function containersService(
  store: ContainerStore,
  events: Exchange,
  collect: () => void,
): ServiceImpl<typeof Containers> {
  return {
    get: (request, context) => ({ container: store.get(namespaceOf(context), request.id) }),
    list: (request, context) => ({ containers: store.list(namespaceOf(context), request.filters) }),
    async *listStream(request, context) {
      for (const container of store.list(namespaceOf(context), request.filters)) yield { container };
    },
    create(request, context) {
      if (!request.container) throw invalid("container is missing: invalid argument");
      const namespace = namespaceOf(context);
      const container = store.create(namespace, request.container);
      const { id, image, runtime } = container;
      events.publish(namespace, "/containers/create", ContainerCreateSchema, {
        id,
        image,
        runtime: { name: runtime?.name ?? "", ...(runtime?.options ? { options: runtime.options } : {}) },
      });
      return { container };
    },
    update(request, context) {
      if (!request.container) throw invalid("container is missing: invalid argument");
      const namespace = namespaceOf(context);
      const container = store.update(namespace, request.container, request.updateMask?.paths ?? []);
      const { id, image, labels, snapshotKey } = container;
      events.publish(namespace, "/containers/update", ContainerUpdateSchema, {
        id,
        image,
        labels,
        snapshotKey,
      });
      return { container };
    },
    delete(request, context) {
      const namespace = namespaceOf(context);
      store.delete(namespace, request.id);
      events.publish(namespace, "/containers/delete", ContainerDeleteSchema, { id: request.id });
      collect();
      return {};
    },
  };
}
