/** The plain HTTP side of CRI-O's socket: `/info`, `/config`, `/containers/ID`. */

import { containerDir } from "../cri/container/paths.ts";
import type { Engine } from "../cri/engine.ts";
import type { Container, Records } from "../cri/records.ts";
import { printConfig } from "./config/print.ts";
import type { CrioParts } from "./context.ts";
import { rootfsOf } from "./processes/processes.ts";

export interface InspectAnswer {
  status: number;
  type: string;
  body: string;
}

const json = (value: unknown): InspectAnswer => ({
  status: 200,
  type: "application/json",
  body: JSON.stringify(value),
});

const plain = (status: number, body: string): InspectAnswer => ({ status, type: "text/plain", body });

/** Every id of the machine is itself. */
const wholeMapping = [{ container_id: 0, host_id: 0, size: 4294967295 }];

export async function inspect(parts: CrioParts, engine: Engine, path: string): Promise<InspectAnswer> {
  const { crio } = parts.settings;
  if (path === "/info")
    return json({
      storage_driver: crio.storage_driver,
      storage_image: "",
      storage_root: crio.root,
      cgroup_driver: crio.runtime.cgroup_manager,
      default_id_mappings: { uids: wholeMapping, gids: wholeMapping },
    });
  if (path === "/config") return { status: 200, type: "application/toml", body: printConfig(crio, true) };
  const id = /^\/containers\/([^/]+)$/.exec(path)?.[1];
  if (id === undefined) return plain(404, "404 page not found\n");
  const found = find(parts.records, decodeURIComponent(id));
  if (!found) return plain(404, `can't find the container with id ${id}`);
  const pid = await engine.holderPid(found.id);
  return json({ ...found.answer(parts), pid });
}

function find(records: Records, id: string) {
  const container = records.containers.find(id);
  if (container)
    return { id: container.record.id, answer: (parts: CrioParts) => ofContainer(parts, container) };
  const sandbox = records.sandboxes.find(id);
  if (!sandbox) return undefined;
  const { record, config } = sandbox;
  return {
    id: record.id,
    answer: () => ({
      name: `k8s_POD_${podName(config)}`,
      image: "",
      image_ref: "",
      created_time: Number(record.createdAt),
      labels: config.labels,
      annotations: config.annotations,
      crio_annotations: {},
      log_path: config.logDirectory,
      root: "",
      sandbox: record.id,
      ip_addresses: record.ips,
      host_network: record.hostNetwork,
    }),
  };
}

type Named = { metadata?: undefined | { name: string; namespace: string; uid: string; attempt: number } };

const podName = ({ metadata }: Named) =>
  [metadata?.name, metadata?.namespace, metadata?.uid, metadata?.attempt ?? 0].join("_");

function ofContainer(parts: CrioParts, { record, config }: Container) {
  const sandbox = parts.records.sandboxes.find(record.sandboxId);
  const { metadata: pod } = sandbox?.config ?? {};
  return {
    name: [
      "k8s",
      config.metadata?.name,
      pod?.name,
      pod?.namespace,
      pod?.uid,
      config.metadata?.attempt ?? 0,
    ].join("_"),
    image: config.image?.userSpecifiedImage || config.image?.image || "",
    image_ref: record.imageId,
    created_time: Number(record.createdAt),
    labels: config.labels,
    annotations: config.annotations,
    crio_annotations: {},
    log_path: record.logPath,
    root: rootfsOf(containerDir(parts, record.id).runtimeDir),
    sandbox: record.sandboxId,
    ip_addresses: sandbox?.record.ips ?? [],
    host_network: sandbox?.record.hostNetwork ?? false,
  };
}
