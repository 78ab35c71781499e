/** Lists of images: their order, their filters, and the names in their rows. */
import type { Image } from "../../proto/gen/runtime/v1/image_pb.ts";
import { wrap } from "./errors.ts";
import { strings } from "./flags.ts";
import type { ImageConnection } from "./services.ts";

export const filterFlag = strings(
  "filter,f",
  "Filter output based on provided conditions.\nAvailable filters: \n* dangling=(boolean - true or false)\n* reference=/regular expression/\n* before=<image-name>[:<tag>]|<image id>|<image@digest>\n* since=<image-name>[:<tag>]|<image id>|<image@digest>\nMultiple filters can be combined together.",
);

export async function listImages(
  connection: ImageConnection,
  name: string,
  filters: readonly string[],
): Promise<Image[]> {
  const { images } = await connection.call((client, options) =>
    client.listImages({ filter: { image: { image: name } } }, options),
  );
  images.sort(byName);
  if (filters.length === 0 || images.length === 0) return images;
  try {
    return filters.reduce(applyFilter, images);
  } catch (error) {
    throw wrap("filter images", error);
  }
}

function byName(a: Image, b: Image): number {
  const [left, right] =
    a.repoTags.length > 0 && b.repoTags.length > 0
      ? [a.repoTags[0]!, b.repoTags[0]!]
      : a.repoDigests.length > 0 && b.repoDigests.length > 0
        ? [a.repoDigests[0]!, b.repoDigests[0]!]
        : [a.id, b.id];
  return left < right ? -1 : left > right ? 1 : 0;
}

export function applyFilter(images: Image[], filter: string): Image[] {
  const equals = filter.indexOf("=");
  const [kind, value] = [filter.slice(0, equals), filter.slice(equals + 1)];
  switch (kind) {
    case "before":
      return upTo([...images].reverse(), value).reverse();
    case "since":
      return upTo(images, value);
    case "dangling":
      if (value !== "true" && value !== "false") return [];
      return images.filter(({ repoTags }) => (repoTags.length === 0) === (value === "true"));
    case "reference": {
      const expression = new RegExp(value);
      return images.filter((image) => expression.test(repository(image)) || repository(image) === value);
    }
    default:
      throw new Error(`unknown filter flag: ${filter}`);
  }
}

/** The images before the one that is named by tag, id or digest. */
function upTo(images: Image[], value: string): Image[] {
  const [colon, at] = [value.includes(":"), value.includes("@")];
  const named = (image: Image) => {
    if (colon && !at) return tagPairs(image)[0]!.join(":") === value;
    if (!colon && !at) return image.id.startsWith(value);
    return colon && at && Boolean(image.repoDigests[0]?.startsWith(value));
  };
  const end = images.findIndex(named);
  const before = end < 0 ? images : images.slice(0, end);
  if (colon && at) return before.filter(({ repoDigests }) => repoDigests.length > 0);
  return at ? [] : before;
}

/** The name and the digest of the first of an image's digests. */
export function repoDigest({ repoDigests }: Image): [name: string, digest: string] {
  if (repoDigests.length === 0) return ["<none>", "<none>"];
  const pair = repoDigests[0]!.split("@");
  return pair.length === 2 ? [pair[0]!, pair[1]!] : ["errorName", "errorRepoDigest"];
}

const repository = (image: Image) => repoDigest(image)[0];

/** Name and tag of each row. */
export function tagPairs(image: Image): [name: string, tag: string][] {
  const name = repository(image);
  if (image.repoTags.length === 0) return [[name, "<none>"]];
  return image.repoTags.map((tag) => {
    const colon = tag.lastIndexOf(":");
    if (colon < 0) return ["errorRepoTag", "errorRepoTag"];
    const own = tag.slice(0, colon);
    return [own === "<none>" ? name : own, tag.slice(colon + 1)];
  });
}
