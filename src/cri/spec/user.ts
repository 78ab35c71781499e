import { closeSync } from "node:fs";
import { SupplementalGroupsPolicy } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { LinuxContainerSecurityContext } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { resolveUser } from "../../base/accounts.ts";
import { invalid } from "../../base/errors.ts";
import type { Mount } from "../../sys/mount.ts";
import { openMounts } from "../../sys/mount.ts";
import { readTextIn } from "./rootfs-file.ts";

export interface Accounts {
  passwd: string;
  group: string;
}

const cache = new Map<string, Accounts>();

/** The accounts of an image, read in a snapshot of it that nobody has changed; remembered by its top layer. */
export function accountsOf(chainId: string, mounts: readonly Mount[]): Accounts {
  const known = cache.get(chainId);
  if (known) return known;
  const fd = openMounts(mounts);
  try {
    const accounts = { passwd: readTextIn(fd, "/etc/passwd"), group: readTextIn(fd, "/etc/group") };
    if (cache.size > 256) cache.clear();
    cache.set(chainId, accounts);
    return accounts;
  } finally {
    closeSync(fd);
  }
}

/** `user[:group]` as the pod, or else the image, wants it. */
export function userText(security: LinuxContainerSecurityContext | undefined, imageUser: string): string {
  const user = security?.runAsUser ? String(security.runAsUser.value) : (security?.runAsUsername ?? "");
  if (!security?.runAsGroup) return user || imageUser;
  if (user === "") throw invalid("user group is specified without user");
  return `${user}:${security.runAsGroup.value}`;
}

/** Who the process is, with the groups of the image's own file unless the policy is Strict. */
export function processUser(
  security: LinuxContainerSecurityContext | undefined,
  imageUser: string,
  accounts: Accounts,
): { uid: number; gid: number; additionalGids: number[] } {
  const text = userText(security, imageUser);
  const { uid, gid } = resolveUser(text, accounts);
  const strict = security?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  const member = strict ? [] : resolveUser(text.split(":")[0]!, accounts).additionalGids.slice(1);
  const asked = (security?.supplementalGroups ?? []).map(Number);
  return { uid, gid, additionalGids: [...new Set([gid, ...member, ...asked])] };
}
