import { invalid } from "../../base/errors.ts";
import type { User } from "../../oci/runtime-spec.ts";

interface Accounts {
  passwd: string;
  group: string;
}

/** `name`, `uid`, `name:group`, `uid:gid` by the image's own passwd and group files (image-spec, config.md, `User`). */
export function resolveUser(text: string, { passwd, group }: Accounts): User {
  const [name = "", groupName] = text.split(":");
  const records = (file: string) => file.split("\n").map((line) => line.split(":"));
  const number = (value: string) => (/^\d{1,10}$/.test(value) ? Number(value) : undefined);
  const wanted = name || "0";
  const entry =
    records(passwd).find((fields) => fields[0] === wanted) ??
    records(passwd).find((fields) => fields[2] === wanted);
  const uid = entry ? Number(entry[2]) : number(wanted);
  if (uid === undefined) throw invalid(`no users found: ${name}`);
  let gid = entry ? Number(entry[3]) : 0;
  if (groupName !== undefined) {
    const found = records(group).find((fields) => fields[0] === groupName);
    const chosen = found ? Number(found[2]) : number(groupName);
    if (chosen === undefined) throw invalid(`no groups found: ${groupName}`);
    gid = chosen;
  }
  const account = entry?.[0] ?? (uid === 0 ? "root" : undefined);
  const additionalGids = records(group)
    .filter((fields) => account !== undefined && fields[3]?.split(",").includes(account))
    .map((fields) => Number(fields[2]));
  return { uid, gid, ...(additionalGids.length > 0 ? { additionalGids } : {}) };
}
