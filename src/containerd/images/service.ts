import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ImageCreateSchema,
  ImageDeleteSchema,
  ImageUpdateSchema,
} from "../../../proto/gen/containerd/services/images/v1/events_pb.ts";
import type { Image, Images } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import type { Row } from "../../base/database.ts";
import { alreadyExists, invalid, notFound } from "../../base/errors.ts";
import { isDigest } from "../../oci/digest.ts";
import { checkLabels, mergeLabels, namespaceOf } from "../context.ts";
import type { Exchange } from "../events/exchange.ts";
import { fields, parseListFilters } from "../filters.ts";
import type { Collector } from "../gc/collector.ts";
import { labelsOf, type Metadata } from "../metadata/metadata.ts";

/** An image record as it goes into messages. */
interface ImageInit {
  name: string;
  labels: Record<string, string>;
  target: { mediaType: string; digest: string; size: bigint; annotations: Record<string, string> };
  createdAt?: Timestamp;
  updatedAt?: Timestamp;
}

export function imagesService(
  metadata: Metadata,
  events: Exchange,
  collector: Collector,
): ServiceImpl<typeof Images> {
  const { db } = metadata;
  const get = (namespace: string, name: string): ImageInit => {
    const row = db.get("SELECT * FROM images WHERE namespace = ? AND name = ?", namespace, name);
    if (!row) throw notFound(`image "${name}": not found`);
    return imageOf(row);
  };
  const put = (namespace: string, image: ImageInit, createdAt: number, updatedAt: number) =>
    db.run(
      "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      namespace,
      image.name,
      image.target.mediaType,
      image.target.digest,
      Number(image.target.size),
      JSON.stringify(image.target.annotations),
      JSON.stringify(image.labels),
      createdAt,
      updatedAt,
    );
  return {
    get: (request, context) => ({ image: get(namespaceOf(context), request.name) }),
    list(request, context) {
      const filter = parseListFilters(request.filters);
      const images = db
        .all("SELECT * FROM images WHERE namespace = ?", namespaceOf(context))
        .map(imageOf)
        .filter((image) =>
          filter(
            fields(
              {
                name: image.name,
                "target.digest": image.target.digest,
                "target.mediatype": image.target.mediaType,
              },
              image.labels,
            ),
          ),
        );
      return { images };
    },
    create(request, context) {
      const namespace = namespaceOf(context);
      const image = checkImage(request.image);
      const now = Date.now();
      db.transaction(() => {
        metadata.ensureNamespace(namespace);
        if (db.get("SELECT 1 FROM images WHERE namespace = ? AND name = ?", namespace, image.name))
          throw alreadyExists(`image "${image.name}": already exists`);
        put(namespace, image, now, now);
      });
      const { name, labels } = image;
      events.publish(namespace, "/images/create", ImageCreateSchema, { name, labels });
      return { image: { ...image, createdAt: timestampFromMs(now), updatedAt: timestampFromMs(now) } };
    },
    update(request, context) {
      const namespace = namespaceOf(context);
      const wanted = request.image;
      if (!wanted?.name) throw invalid("Image.Name required");
      const paths = request.updateMask?.paths ?? [];
      const image = db.transaction(() => {
        const row = db.get("SELECT * FROM images WHERE namespace = ? AND name = ?", namespace, wanted.name);
        if (!row) throw notFound(`image "${wanted.name}": not found`);
        const merged = merge(imageOf(row), wanted, paths);
        const now = Date.now();
        put(namespace, merged, Number(row["created_at"]), now);
        return { ...merged, updatedAt: timestampFromMs(now) };
      });
      const { name, labels } = image;
      events.publish(namespace, "/images/update", ImageUpdateSchema, { name, labels });
      // What the name pointed at before may be garbage now.
      collector.schedule();
      return { image };
    },
    async delete(request, context) {
      const namespace = namespaceOf(context);
      const gone = db.run("DELETE FROM images WHERE namespace = ? AND name = ?", namespace, request.name);
      if (gone === 0) throw notFound(`image "${request.name}": not found`);
      metadata.letGo(namespace, "images", request.name);
      events.publish(namespace, "/images/delete", ImageDeleteSchema, { name: request.name });
      if (request.sync) await collector.collect();
      else collector.schedule();
      return {};
    },
  };
}

function checkImage(image: Image | undefined): ImageInit {
  if (!image?.name) throw invalid("Image.Name required");
  const { name, target, labels } = image;
  if (!isDigest(target?.digest ?? ""))
    throw invalid(
      `Target.Digest "${target?.digest ?? ""}" invalid: invalid checksum digest format: invalid argument`,
    );
  if (!target || target.size <= 0n) throw invalid("Target.Size must be greater than zero: invalid argument");
  if (target.mediaType === "") throw invalid("Target.MediaType must be set: invalid argument");
  checkLabels(labels);
  return { name, labels, target };
}

function merge(before: ImageInit, wanted: Image, paths: readonly string[]): ImageInit {
  if (paths.length === 0) {
    const { createdAt } = before;
    return { ...checkImage(wanted), ...(createdAt ? { createdAt } : {}) };
  }
  const merged = { ...before };
  for (const path of paths) {
    if (path === "target") {
      if (!wanted.target) throw invalid("image.target must not be empty: invalid argument");
      merged.target = wanted.target;
    } else if (path === "annotations" || path === "target.annotations") {
      merged.target = { ...merged.target, annotations: wanted.target?.annotations ?? {} };
    } else if (path.startsWith("annotations.")) {
      const key = path.slice("annotations.".length);
      const value = wanted.target?.annotations[key];
      const { [key]: _gone, ...others } = merged.target.annotations;
      merged.target = {
        ...merged.target,
        annotations: value === undefined ? others : { ...others, [key]: value },
      };
    } else if (path !== "labels" && !path.startsWith("labels."))
      throw invalid(`cannot update "${path}" field on image "${before.name}": invalid argument`);
  }
  const labelPaths = paths.filter((path) => path === "labels" || path.startsWith("labels."));
  if (labelPaths.length > 0) merged.labels = mergeLabels(before.labels, wanted.labels, labelPaths);
  return merged;
}

function imageOf(row: Row): ImageInit {
  return {
    name: String(row["name"]),
    labels: labelsOf(row),
    target: {
      mediaType: String(row["media_type"]),
      digest: String(row["digest"]),
      size: BigInt(Number(row["size"])),
      annotations: JSON.parse(String(row["annotations"])) as Record<string, string>,
    },
    createdAt: timestampFromMs(Number(row["created_at"])),
    updatedAt: timestampFromMs(Number(row["updated_at"])),
  };
}
