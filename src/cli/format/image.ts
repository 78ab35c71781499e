/** Rows and columns of images: `images`, `system df -v`. */
import type { ImageSummary } from "../../engine/types.ts";
import { Row } from "../template/value.ts";
import type { Headers } from "./list.ts";
import { familiarName, parseReference } from "./reference.ts";
import { shortId } from "./text.ts";
import { localTime } from "./time.ts";
import { humanSize, since } from "./units.ts";

export const imageHeaders: Headers = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  Containers: "CONTAINERS",
  VirtualSize: "SIZE",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
};

const created = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}";
export const imageTable = `table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t${created}\t{{.Size}}`;
export const imageTableWithDigest = `table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t${created}\t{{.Size}}`;
export const imageRaw = (digest: boolean) => `repository: {{ .Repository }}
tag: {{.Tag}}
${digest ? "digest: {{.Digest}}\n" : ""}image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
`;

const none = "<none>";

/** A row for each name of an image, and for each digest when those are shown. */
export function imageRows(
  image: ImageSummary,
  options: { trunc: boolean; digests: boolean; wantsDigest: boolean },
): Row[] {
  const row = (repository: string, tag: string, digest: string) =>
    imageRow(image, options.trunc, repository, tag, digest);
  const tags = byRepository(image.RepoTags, "tag");
  const digests = byRepository(image.RepoDigests, "digest");
  const dangling =
    (image.RepoTags ?? []).every((tag) => tag === "<none>:<none>") &&
    (image.RepoDigests ?? []).every((digest) => digest === "<none>@<none>");
  if (dangling) return [row(none, none, none)];
  const rows: Row[] = [];
  for (const [repository, names] of tags) {
    const shown = options.wantsDigest ? (digests.get(repository) ?? []) : [];
    digests.delete(repository);
    for (const tag of names)
      if (shown.length === 0) rows.push(row(repository, tag, none));
      else rows.push(...shown.map((digest) => row(repository, tag, digest)));
  }
  for (const [repository, values] of digests)
    if (options.digests) rows.push(...values.map((digest) => row(repository, none, digest)));
    else rows.push(row(repository, none, ""));
  return rows;
}

function byRepository(references: readonly string[] | null, part: "tag" | "digest"): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const text of references ?? []) {
    let reference: ReturnType<typeof parseReference>;
    try {
      reference = parseReference(text);
    } catch {
      continue;
    }
    const value = reference[part];
    if (value === undefined) continue;
    const name = familiarName(reference);
    out.set(name, [...(out.get(name) ?? []), value]);
  }
  return out;
}

export function imageRow(
  image: ImageSummary,
  trunc: boolean,
  repository: string,
  tag: string,
  digest: string,
): Row {
  const { SharedSize: shared, Size: size } = image;
  return new Row("*formatter.imageContext", {
    ID: trunc ? shortId(image.Id) : image.Id,
    Repository: repository,
    Tag: tag,
    Digest: digest,
    get CreatedSince() {
      return since(image.Created);
    },
    get CreatedAt() {
      return localTime(image.Created);
    },
    get Size() {
      return humanSize(size, 3);
    },
    Containers: image.Containers === -1 ? "N/A" : String(image.Containers),
    get VirtualSize() {
      return humanSize(size);
    },
    SharedSize: shared === -1 ? "N/A" : humanSize(shared),
    UniqueSize: size === -1 || shared === -1 ? "N/A" : humanSize(size - shared),
  });
}

/** The first name of an image, as `system df -v` shows it. */
export function firstName(image: ImageSummary): [repository: string, tag: string] {
  const [first] = [...byRepository(image.RepoTags, "tag")];
  return first ? [first[0], first[1][0]!] : [none, none];
}
