import type { Shape } from "../http/decode.ts";

const texts: Shape = { map: "string" };
const typed = (more: Record<string, Shape> = {}): Shape => ({
  list: { fields: { type: "string", attributes: texts, ...more } },
});

/** BuildBody of engine/types/build.ts. */
export const buildBody: Shape = {
  fields: {
    id: "string",
    contexts: { list: { fields: { name: "string", path: "string", device: "string", inode: "string" } } },
    dockerfile: "string",
    filename: "string",
    dockerfileContext: "string",
    contextIsArchive: "boolean",
    remoteContext: "string",
    target: "string",
    buildArgs: texts,
    labels: texts,
    platforms: { list: "string" },
    noCache: "boolean",
    noCacheFilter: { list: "string" },
    pull: "boolean",
    namedContexts: texts,
    extraHosts: { list: "string" },
    network: "string",
    shmSize: "number",
    ulimits: { list: { fields: { name: "string", soft: "number", hard: "number" } } },
    cgroupParent: "string",
    resources: {
      fields: {
        memory: "number",
        memorySwap: "number",
        cpuShares: "number",
        cpuPeriod: "number",
        cpuQuota: "number",
        cpusetCpus: "string",
        cpusetMems: "string",
      },
    },
    entitlements: { list: "string" },
    secrets: texts,
    ssh: texts,
    outputs: typed({ stream: "boolean" }),
    cacheFrom: typed(),
    cacheTo: typed(),
    attestations: { map: texts },
    sourceDateEpoch: "number",
    tags: { list: "string" },
    check: "boolean",
    call: "string",
  },
};
