import { randomBytes } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Leases } from "../../../proto/gen/containerd/services/leases/v1/leases_pb.ts";
import { alreadyExists, invalid, notFound, unimplemented } from "../../base/errors.ts";
import { checkLabels, namespaceOf } from "../context.ts";
import { fields, parseListFilters } from "../filters.ts";
import type { Collector } from "../gc/collector.ts";
import { labelsOf, type Metadata } from "../metadata/metadata.ts";

export function leasesService(metadata: Metadata, collector: Collector): ServiceImpl<typeof Leases> {
  const { db } = metadata;
  const mustExist = (namespace: string, id: string) => {
    if (!db.get("SELECT 1 FROM leases WHERE namespace = ? AND id = ?", namespace, id))
      throw notFound(`lease "${id}": not found`);
  };
  return {
    create(request, context) {
      const namespace = namespaceOf(context);
      const { labels } = request;
      const id = request.id || `${Date.now()}-${randomBytes(3).toString("base64url")}`;
      // Go's clients make ids that are no identifiers ("…-U08_"), so anything goes.
      checkLabels(labels);
      const createdAt = Date.now();
      db.transaction(() => {
        metadata.ensureNamespace(namespace);
        if (db.get("SELECT 1 FROM leases WHERE namespace = ? AND id = ?", namespace, id))
          throw alreadyExists(`lease "${id}": already exists`);
        db.run("INSERT INTO leases VALUES (?, ?, ?, ?)", namespace, id, JSON.stringify(labels), createdAt);
      });
      return { lease: { id, createdAt: timestampFromMs(createdAt), labels } };
    },
    async delete(request, context) {
      const namespace = namespaceOf(context);
      const gone = db.run("DELETE FROM leases WHERE namespace = ? AND id = ?", namespace, request.id);
      if (gone === 0) throw notFound(`lease "${request.id}": not found`);
      if (request.sync) await collector.collect();
      else collector.schedule();
      return {};
    },
    list(request, context) {
      const filter = parseListFilters(request.filters);
      const leases = db
        .all("SELECT * FROM leases WHERE namespace = ?", namespaceOf(context))
        .map((row) => ({
          id: String(row["id"]),
          createdAt: timestampFromMs(Number(row["created_at"])),
          labels: labelsOf(row),
        }))
        .filter((lease) => filter(fields({ id: lease.id }, lease.labels)));
      return { leases };
    },
    addResource(request, context) {
      const namespace = namespaceOf(context);
      mustExist(namespace, request.id);
      const { id, type } = checkResource(request.resource);
      metadata.hold(namespace, request.id, type, id);
      return {};
    },
    deleteResource(request, context) {
      const namespace = namespaceOf(context);
      mustExist(namespace, request.id);
      const { id, type } = checkResource(request.resource);
      metadata.letGo(namespace, type, id, request.id);
      collector.schedule();
      return {};
    },
    listResources(request, context) {
      const namespace = namespaceOf(context);
      mustExist(namespace, request.id);
      const resources = db
        .all("SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ?", namespace, request.id)
        .map((row) => ({ type: String(row["type"]), id: String(row["id"]) }));
      return { resources };
    },
  };
}

function checkResource(resource: { id: string; type: string } | undefined) {
  if (!resource?.id) throw invalid("lease resource must not be empty: invalid argument");
  const [kind, snapshotter, ...rest] = resource.type.split("/");
  if (kind === "snapshots") {
    if (!snapshotter || rest.length > 0)
      throw invalid(`invalid snapshot resource type ${resource.type}: invalid argument`);
  } else if (kind !== "content" && kind !== "ingests" && kind !== "images")
    throw unimplemented(`resource type ${resource.type} not supported yet: not implemented`);
  else if (snapshotter !== undefined)
    throw invalid(`invalid resource type ${resource.type}: invalid argument`);
  return resource;
}
