/** chmod's symbolic modes (POSIX, chmod: "EXTENDED DESCRIPTION"), with a umask of 0. */
import { invalid } from "../../base/errors.ts";

/** From a mode's twelve bits to others. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

const shifts = { u: 6, g: 3, o: 0 } as const;
type Who = keyof typeof shifts;

/** `u+rwX,go=`, or octal digits; throws for anything else. */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]+$/.test(text)) {
    const value = Number.parseInt(text, 8);
    if (value > 0o7777) throw badMode(text);
    return () => value;
  }
  const steps = text.split(",").flatMap((clause) => parseClause(clause, text));
  return (mode, isDirectory) => steps.reduce((now, step) => step(now, isDirectory), mode);
}

const badMode = (text: string) => invalid(`invalid mode: ${JSON.stringify(text)}`);

function parseClause(clause: string, text: string): ModeChange[] {
  const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
  if (!match) throw badMode(text);
  const named = match[1]!;
  const who: Who[] = named === "" || named.includes("a") ? ["u", "g", "o"] : ([...new Set(named)] as Who[]);
  return [...match[2]!.matchAll(/([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)/g)].map(([, operator = "", what = ""]) =>
    step(who, operator, what),
  );
}

function step(who: readonly Who[], operator: string, what: string): ModeChange {
  return (mode, isDirectory) => {
    const bits = bitsOf(who, what, mode, isDirectory);
    if (operator === "+") return mode | bits;
    if (operator === "-") return mode & ~bits;
    return (mode & ~maskOf(who)) | bits;
  };
}

/** The bits that `=` takes away first. */
function maskOf(who: readonly Who[]): number {
  let mask = 0;
  for (const one of who) mask |= 7 << shifts[one];
  if (who.includes("u")) mask |= 0o4000;
  if (who.includes("g")) mask |= 0o2000;
  if (who.length === 3) mask |= 0o1000;
  return mask;
}

function bitsOf(who: readonly Who[], what: string, mode: number, isDirectory: boolean): number {
  let permission = 0;
  let special = 0;
  if (/^[ugo]$/.test(what)) permission = (mode >> shifts[what as Who]) & 7;
  else
    for (const letter of what) {
      if (letter === "r") permission |= 4;
      else if (letter === "w") permission |= 2;
      else if (letter === "x") permission |= 1;
      else if (letter === "X") permission |= isDirectory || mode & 0o111 ? 1 : 0;
      else if (letter === "s") special |= (who.includes("u") ? 0o4000 : 0) | (who.includes("g") ? 0o2000 : 0);
      else if (letter === "t") special |= 0o1000;
    }
  let bits = special;
  for (const one of who) bits |= permission << shifts[one];
  return bits;
}
