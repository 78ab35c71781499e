import { CortenError, invalid } from "./errors.ts";

export interface Passwd {
  name: string;
  uid: number;
  gid: number;
}
export interface Group {
  name: string;
  gid: number;
  members: string[];
}

const maxId = 2 ** 31 - 1;

/** Containers of one image have the same files: the last one read is not read again. */
function remembering<T>(parse: (text: string) => T): (text: string) => T {
  let last: { text: string; parsed: T } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, parsed: parse(text) };
    return last.parsed;
  };
}

/** The records of a passwd file (passwd(5)). */
export const parsePasswd = remembering((text): readonly Passwd[] =>
  fields(text).map(([name = "", , uid, gid]) => ({ name, uid: toId(uid), gid: toId(gid) })),
);

/** The records of a group file (group(5)). */
export const parseGroup = remembering((text): readonly Group[] =>
  fields(text).map(([name = "", , gid, members = ""]) => ({
    name,
    gid: toId(gid),
    members: members.split(",").filter(Boolean),
  })),
);

const fields = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));

const toId = (text: string | undefined) => (text !== undefined && /^\d+$/.test(text) ? Number(text) : 0);
const numeric = (text: string): number | undefined => (/^-?\d+$/.test(text) ? Number(text) : undefined);

function checkRange(id: number): number {
  if (id < 0 || id > maxId) throw invalid(`uids and gids must be in range 0-${maxId}`);
  return id;
}

/**
 * Who the process is: `user[:group]` by name or number, looked up in the files of the container, with the groups
 * the user is a member of, and `--group-add`. A missing file is an empty one.
 */
export function resolveUser(
  wanted: string,
  files: { passwd: string; group: string },
  groupAdd: readonly string[] = [],
): { uid: number; gid: number; additionalGids: number[] } {
  const [userText = "", groupText = ""] = wanted.split(":", 2);
  const userId = numeric(userText);
  const found = parsePasswd(files.passwd).find((entry) =>
    userText === "" ? entry.uid === 0 : userId !== undefined ? entry.uid === userId : entry.name === userText,
  );
  let uid = 0;
  let gid = 0;
  if (found) ({ uid, gid } = found);
  else if (userText !== "") {
    if (userId === undefined)
      throw new CortenError(
        "invalid_argument",
        `unable to find user ${userText}: no matching entries in passwd file`,
      );
    uid = checkRange(userId);
  }
  const groups = parseGroup(files.group);
  let member: number[] = [];
  if (groupText !== "") {
    const id = numeric(groupText);
    const group = groups.find((entry) => (id !== undefined ? entry.gid === id : entry.name === groupText));
    if (!group && id === undefined)
      throw invalid(`unable to find group ${groupText}: no matching entries in group file`);
    gid = group?.gid ?? checkRange(id!);
  } else if (found)
    member = groups.filter((entry) => entry.members.includes(found.name)).map((entry) => entry.gid);
  const added = groupAdd.map((text) => {
    const id = numeric(text);
    const group = groups.find((entry) => entry.name === text || (id !== undefined && entry.gid === id));
    if (!group && id === undefined)
      throw invalid(`Unable to find group ${text}: no matching entries in group file`);
    return group?.gid ?? checkRange(id!);
  });
  return { uid, gid, additionalGids: [gid, ...member, ...added] };
}
