import { randomBytes } from "node:crypto";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { isGone, ownIdentity } from "./owner.ts";
import type { ContainerdClient } from "./types.ts";

/** Names the process that works under a lease. */
export const ownerLabel = "corten.owner";

/**
 * Runs `work` with a client whose every creation is held by a lease, so that garbage collection leaves
 * half-made things alone; the lease goes when `work` ends. Should we be killed, it expires by itself after a day,
 * and our containerd drops it at its next start.
 */
export async function withLease<T>(
  client: ContainerdClient,
  work: (leased: ContainerdClient) => Promise<T>,
): Promise<T> {
  if (client.lease !== undefined) return work(client);
  const id = `${Date.now()}-${randomBytes(4).toString("hex")}`;
  const expire = new Date(Date.now() + 24 * 3600 * 1000).toISOString();
  await client.leases.create({
    id,
    labels: { "containerd.io/gc.expire": expire, [ownerLabel]: ownIdentity() },
  });
  try {
    return await work(client.with({ lease: id }));
  } finally {
    await client.leases
      .delete({ id })
      .catch((error) => log.warn(`lease ${id} stays until it expires`, { error: messageOf(error) }));
  }
}

/**
 * Ends the leases of clients of this namespace that were killed. Our containerd does so at its start; this is for one that
 * outlived the client.
 */
export async function dropDeadLeases(client: ContainerdClient): Promise<void> {
  const { leases } = await client.leases.list({ filters: [`labels.${JSON.stringify(ownerLabel)}`] });
  for (const { id, labels } of leases) {
    if (!isGone(labels[ownerLabel] ?? "")) continue;
    await client.leases.delete({ id }).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
  }
}
