import { invalid } from "../../base/errors.ts";
import type { DiskUsage } from "../../engine/types.ts";
import { cacheView } from "../build/usage.ts";
import { volumeUsers } from "../container/remove.ts";
import { summary as containerSummary } from "../containers/list.ts";
import type { Handler } from "../daemon.ts";
import { atLeast } from "../http/router.ts";
import { summary as imageSummary } from "../images/list.ts";
import { directorySize } from "../volumes/size.ts";
import { view } from "../volumes/view.ts";

const kinds = ["container", "image", "volume", "build-cache"];

/** `GET /system/df?type=`. */
export const df: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const wanted = query.all("type");
  for (const kind of wanted) if (!kinds.includes(kind)) throw invalid(`unknown object type: ${kind}`);
  const has = (kind: string) => wanted.length === 0 || wanted.includes(kind);
  const answer: DiskUsage = {};
  if (has("image")) {
    const images = await daemon.images.list();
    answer.Images = await Promise.all(
      images.map((image) => imageSummary(daemon, image, atLeast(call, "1.44"), true)),
    );
    const layers = new Map<string, number>();
    for (const image of images) {
      const sizes = await daemon.images.layerSizes(image.content);
      for (const [index, id] of image.content.chainIds.entries()) layers.set(id, sizes[index] ?? 0);
    }
    answer.LayersSize = [...layers.values()].reduce((sum, size) => sum + size, 0);
  }
  if (has("container"))
    answer.Containers = await Promise.all(
      daemon.containers.all().map((container) => containerSummary(daemon, container, new Map(), true)),
    );
  if (has("volume"))
    answer.Volumes = await Promise.all(
      daemon.volumes.all().map(async (volume) => ({
        ...view(volume),
        UsageData: {
          RefCount: volumeUsers(daemon, volume.name).length,
          Size: await directorySize(volume.mountpoint),
        },
      })),
    );
  if (has("build-cache")) {
    const records = daemon.builds.used ? await (await daemon.builds.builder()).usage() : [];
    answer.BuildCache = records.map(cacheView);
    if (wanted.length === 0)
      answer.BuilderSize = records.reduce((sum, record) => sum + (record.shared ? 0 : record.size), 0);
  }
  reply.json(200, answer);
};
