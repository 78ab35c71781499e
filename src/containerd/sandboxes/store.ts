import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Store } from "../../../proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { type Sandbox, SandboxSchema } from "../../../proto/gen/containerd/types/sandbox_pb.ts";
import type { Row } from "../../base/database.ts";
import { alreadyExists, invalid, messageOf, notFound } from "../../base/errors.ts";
import { checkIdentifier, checkLabels, namespaceOf } from "../context.ts";
import { fields, parseListFilters } from "../filters.ts";
import type { Metadata } from "../metadata/metadata.ts";

/** What a controller has done with a sandbox; milliseconds since 1970. */
export interface SandboxTimes {
  madeAt: number | undefined;
  startedAt: number | undefined;
  stoppedAt: number | undefined;
}

/** Records of groups of containers, and how far their controller has got with them. */
export class SandboxStore {
  readonly #metadata: Metadata;
  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  get(namespace: string, id: string): Sandbox {
    return fromBinary(SandboxSchema, this.#row(namespace, id)["record"] as Uint8Array);
  }

  #row(namespace: string, id: string): Row {
    const row = this.#metadata.db.get(
      "SELECT * FROM sandboxes WHERE namespace = ? AND id = ?",
      namespace,
      id,
    );
    if (!row) throw notFound(`bucket ${JSON.stringify(id)} not found: not found`);
    return row;
  }

  list(namespace: string, filters: readonly string[]): Sandbox[] {
    const filter = parseListFilters(filters);
    return this.#metadata.db
      .all("SELECT record FROM sandboxes WHERE namespace = ? ORDER BY id", namespace)
      .map((row) => fromBinary(SandboxSchema, row["record"] as Uint8Array))
      .filter(({ sandboxId, labels }) => filter(fields({ id: sandboxId }, labels)));
  }

  create(namespace: string, wanted: Sandbox): Sandbox {
    check(wanted);
    const now = timestampNow();
    const sandbox = create(SandboxSchema, { ...wanted, createdAt: now, updatedAt: now });
    this.#metadata.db.transaction(() => {
      this.#metadata.ensureNamespace(namespace);
      const made = this.#metadata.db.run(
        "INSERT OR IGNORE INTO sandboxes (namespace, id, record) VALUES (?, ?, ?)",
        namespace,
        sandbox.sandboxId,
        toBinary(SandboxSchema, sandbox),
      );
      if (made === 0)
        throw alreadyExists(
          `write error: sandbox bucket ${JSON.stringify(sandbox.sandboxId)} already exists: already exists`,
        );
    });
    return sandbox;
  }

  update(namespace: string, wanted: Sandbox, paths: readonly string[]): Sandbox {
    return this.#metadata.db.transaction(() => {
      const sandbox = merge(this.get(namespace, wanted.sandboxId), wanted, paths);
      check(sandbox);
      sandbox.updatedAt = timestampNow();
      this.#metadata.db.run(
        "UPDATE sandboxes SET record = ? WHERE namespace = ? AND id = ?",
        toBinary(SandboxSchema, sandbox),
        namespace,
        sandbox.sandboxId,
      );
      return sandbox;
    });
  }

  delete(namespace: string, id: string): void {
    const gone = this.#metadata.db.run("DELETE FROM sandboxes WHERE namespace = ? AND id = ?", namespace, id);
    if (gone === 0) throw notFound(`failed to delete sandbox ${JSON.stringify(id)}: not found`);
  }

  times(namespace: string, id: string): SandboxTimes {
    const row = this.#row(namespace, id);
    const at = (column: string) => (row[column] === null ? undefined : Number(row[column]));
    return { madeAt: at("made_at"), startedAt: at("started_at"), stoppedAt: at("stopped_at") };
  }

  setTimes(namespace: string, id: string, { madeAt, startedAt, stoppedAt }: SandboxTimes): void {
    this.#metadata.db.run(
      "UPDATE sandboxes SET made_at = ?, started_at = ?, stopped_at = ? WHERE namespace = ? AND id = ?",
      madeAt ?? null,
      startedAt ?? null,
      stoppedAt ?? null,
      namespace,
      id,
    );
  }
}

/** `containerd.services.sandbox.v1.Store`. */
export function sandboxStoreService(store: SandboxStore): ServiceImpl<typeof Store> {
  return {
    create: ({ sandbox }, context) => ({ sandbox: store.create(namespaceOf(context), given(sandbox)) }),
    update: ({ sandbox, fields: paths }, context) => ({
      sandbox: store.update(namespaceOf(context), given(sandbox), paths),
    }),
    get: ({ sandboxId }, context) => ({ sandbox: store.get(namespaceOf(context), sandboxId) }),
    list: ({ filters }, context) => ({ list: store.list(namespaceOf(context), filters) }),
    delete({ sandboxId }, context) {
      store.delete(namespaceOf(context), sandboxId);
      return {};
    },
  };
}

function given(sandbox: Sandbox | undefined): Sandbox {
  if (!sandbox) throw invalid("sandbox is missing: invalid argument");
  return sandbox;
}

function check({ sandboxId, labels }: Sandbox): void {
  try {
    checkIdentifier(sandboxId);
  } catch (error) {
    throw invalid(`failed to validate sandbox: invalid sandbox ID: ${messageOf(error)}`, error);
  }
  checkLabels(labels);
}

function merge(before: Sandbox, wanted: Sandbox, paths: readonly string[]): Sandbox {
  const sandbox = create(SandboxSchema, before);
  if (paths.length === 0 && before.runtime?.name !== wanted.runtime?.name)
    throw invalid("sandbox.Runtime.Name field is immutable: invalid argument");
  for (const path of paths.length > 0 ? paths : ["labels", "extensions", "spec", "runtime"]) {
    const [, map = "", key = ""] = /^(labels|extensions)\.(.*)$/s.exec(path) ?? [];
    if (map === "labels") sandbox.labels = { ...sandbox.labels, [key]: wanted.labels[key] ?? "" };
    else if (map === "extensions") {
      const { [key]: _, ...others } = sandbox.extensions;
      const value = wanted.extensions[key];
      sandbox.extensions = value ? { ...others, [key]: value } : others;
    } else if (path === "labels") sandbox.labels = wanted.labels;
    else if (path === "extensions") sandbox.extensions = wanted.extensions;
    else if (path === "runtime" && wanted.runtime) sandbox.runtime = wanted.runtime;
    else if (path === "spec" && wanted.spec) sandbox.spec = wanted.spec;
    else if (path === "runtime") delete sandbox.runtime;
    else if (path === "spec") delete sandbox.spec;
    else
      throw invalid(
        `cannot update ${JSON.stringify(path)} field on sandbox ${JSON.stringify(wanted.sandboxId)}: invalid argument`,
      );
  }
  return sandbox;
}
