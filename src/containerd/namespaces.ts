import type { ServiceImpl } from "@connectrpc/connect";
import {
  NamespaceCreateSchema,
  NamespaceDeleteSchema,
  NamespaceUpdateSchema,
} from "../../proto/gen/containerd/events/namespace_pb.ts";
import type { Namespaces } from "../../proto/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { alreadyExists, conflict, invalid, notFound } from "../base/errors.ts";
import { checkIdentifier, checkLabels, mergeLabels } from "./context.ts";
import type { Exchange } from "./events/exchange.ts";
import { labelsOf, type Metadata } from "./metadata/metadata.ts";

export function namespacesService(metadata: Metadata, events: Exchange): ServiceImpl<typeof Namespaces> {
  const { db } = metadata;
  const get = (name: string) => {
    const row = db.get("SELECT * FROM namespaces WHERE name = ?", name);
    if (!row) throw notFound(`namespace "${name}": not found`);
    return { name, labels: labelsOf(row) };
  };
  /** What keeps a namespace from being deleted, in containerd's words and order. */
  const contentsOf = (name: string): string[] => {
    const holds = (table: string) => db.get(`SELECT 1 FROM ${table} WHERE namespace = ?`, name);
    const words = ["images", "contents", "containers"]
      .filter(holds)
      .map((table) => (table === "contents" ? "blobs" : table));
    const snapshotters = db
      .all("SELECT DISTINCT snapshotter FROM snapshots WHERE namespace = ?", name)
      .map((row) => `snapshots on "${row["snapshotter"]}" snapshotter`);
    return [...words, ...snapshotters];
  };
  return {
    // containerd answers for a namespace that nobody made, too: any name can be used.
    get({ name }) {
      const row = db.get("SELECT labels FROM namespaces WHERE name = ?", name);
      return { namespace: { name, labels: row ? labelsOf(row) : {} } };
    },
    list: () => ({
      namespaces: db
        .all("SELECT * FROM namespaces ORDER BY name")
        .map((row) => ({ name: String(row["name"]), labels: labelsOf(row) })),
    }),
    create(request) {
      if (!request.namespace) throw invalid("namespace is missing: invalid argument");
      const { name, labels } = request.namespace;
      checkIdentifier(name, "namespace");
      checkLabels(labels);
      const made = db.run("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", name, JSON.stringify(labels));
      if (made === 0) throw alreadyExists(`namespace "${name}": already exists`);
      events.publish(name, "/namespaces/create", NamespaceCreateSchema, { name, labels });
      return { namespace: { name, labels } };
    },
    update(request) {
      if (!request.namespace) throw invalid("namespace is missing: invalid argument");
      const { name } = request.namespace;
      const labels = mergeLabels(get(name).labels, request.namespace.labels, request.updateMask?.paths ?? []);
      db.run("UPDATE namespaces SET labels = ? WHERE name = ?", JSON.stringify(labels), name);
      events.publish(name, "/namespaces/update", NamespaceUpdateSchema, { name, labels });
      return { namespace: { name, labels } };
    },
    delete(request) {
      const { name } = request;
      get(name);
      const left = contentsOf(name);
      if (left.length > 0)
        throw conflict(
          `namespace "${name}" must be empty, but it still has ${left.join(", ")}: failed precondition`,
        );
      db.transaction(() => {
        db.run("DELETE FROM leases WHERE namespace = ?", name);
        db.run("DELETE FROM sandboxes WHERE namespace = ?", name);
        db.run("DELETE FROM namespaces WHERE name = ?", name);
      });
      metadata.forgetNamespace(name);
      events.publish(name, "/namespaces/delete", NamespaceDeleteSchema, { name });
      return {};
    },
  };
}
