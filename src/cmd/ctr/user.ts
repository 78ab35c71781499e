import { parseGroup, parsePasswd } from "../../base/accounts.ts";
import { invalid } from "../../base/errors.ts";
import type { User } from "../../oci/runtime-spec.ts";

/**
 * `name`, `uid`, `name:group`, `uid:gid` by the image's own passwd and group files (image-spec, config.md, `User`), as ctr
 * reads them: unlike Docker it knows a name before a number, and adds the groups also where one is given.
 */
export function resolveUser(text: string, files: { passwd: string; group: string }): User {
  const [name = "", groupName] = text.split(":");
  const number = (value: string) => (/^\d{1,10}$/.test(value) ? Number(value) : undefined);
  const wanted = name || "0";
  const users = parsePasswd(files.passwd);
  const entry =
    users.find((user) => user.name === wanted) ?? users.find((user) => user.uid === number(wanted));
  const uid = entry ? entry.uid : number(wanted);
  if (uid === undefined) throw invalid(`no users found: ${name}`);
  const groups = parseGroup(files.group);
  let gid = entry ? entry.gid : 0;
  if (groupName !== undefined) {
    const chosen = groups.find((group) => group.name === groupName)?.gid ?? number(groupName);
    if (chosen === undefined) throw invalid(`no groups found: ${groupName}`);
    gid = chosen;
  }
  const account = entry?.name ?? (uid === 0 ? "root" : undefined);
  const additionalGids = groups
    .filter(({ members }) => account !== undefined && members.includes(account))
    .map((group) => group.gid);
  return { uid, gid, ...(additionalGids.length > 0 ? { additionalGids } : {}) };
}
