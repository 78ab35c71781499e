/**
 * SELinux labels of containers: `user:role:type:level`, the type of the policy's container domain, a level with two
 * categories of its own, by which containers are kept apart. What engines and container runtimes have in common of it.
 */
import { existsSync, readFileSync } from "node:fs";

/** What of a label can be asked for; `filetype` is the type of the container's files. */
const parts = ["user", "role", "type", "level", "filetype"] as const;

export interface Labels {
  /** "" for none. */
  process: string;
  mount: string;
}

const none: Labels = { process: "", mount: "" };

/** Kubernetes' and Docker's bound on categories, if a policy does not set another. */
export const defaultCategories = 1024;

/** Of the files of containers whose process has no label: no other container gets these two. */
const unconfinedLevel = `s0:c${defaultCategories - 2},c${defaultCategories - 1}`;

/** One or two sensitivities, then categories and ranges of them (s0, s0-s1:c1.c5,c9). */
const levelPattern = /^s\d(-s\d)?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?$/;
export const isLevel = (text: string): boolean => levelPattern.test(text);

type Context = Record<"user" | "role" | "type" | "level", string>;

function parseContext(label: string): Context {
  const [user = "", role = "", type = "", ...level] = label.split(":");
  return { user, role, type, level: level.join(":") };
}

const levelOf = (label: string): string => parseContext(label).level;

/** The label of files that all containers may use: without categories. */
export const sharedLabel = (label: string): string =>
  label === "" ? "" : formatContext({ ...parseContext(label), level: "s0" });

/** The label that a volume's files get by its options (`z`, shared, or `Z`, the container's alone); "" for none. */
export function volumeLabel(mode: string, label: string): string {
  const words = mode.split(",");
  return words.includes("z") ? sharedLabel(label) : words.includes("Z") ? label : "";
}

const formatContext = ({ user, role, type, level }: Context) =>
  [user, role, type, level].filter(Boolean).join(":");

/** The policy's labels for containers, without levels of their own: a policy's `contexts/lxc_contexts`. */
export interface Policy {
  process: string;
  file: string;
}

/** Reads `process = "…"` and `file = "…"`. */
export function parsePolicy(text: string): Policy | undefined {
  const value = (name: string) =>
    text.match(new RegExp(`^\\s*${name}\\s*=\\s*"?([^"\\n]*?)"?\\s*$`, "m"))?.[1];
  const process = value("process");
  const file = value("file");
  return process && file ? { process, file } : undefined;
}

/** The labels of an engine's containers; categories are given once until they are released. */
export class SelinuxLabels {
  readonly #policy: Policy | undefined;
  readonly #categories: number;
  readonly #random: (below: number) => number;
  readonly #levels = new Set<string>([unconfinedLevel]);

  /** Without a policy (SELinux is off, or not wanted) every label is "". */
  constructor(
    policy: Policy | undefined,
    categories = defaultCategories,
    random = (below: number) => Math.floor(Math.random() * below),
  ) {
    this.#policy = policy;
    this.#categories = categories;
    this.#random = random;
  }

  get enabled(): boolean {
    return this.#policy !== undefined;
  }

  /**
   * Labels for a new container as asked for by options such as `type:container_t`; `disable` leaves the process
   * unlabelled. Without SELinux options are not even looked at, as the real engines have it.
   */
  make(options: readonly string[]): Labels {
    if (!this.#policy) return none;
    const changes: Partial<Record<(typeof parts)[number], string>> = {};
    for (const option of options) {
      if (option === "disable")
        return {
          process: "",
          mount: formatContext({ ...parseContext(this.#policy.file), level: unconfinedLevel }),
        };
      const at = option.indexOf(":");
      const name = (at < 0 ? option : option.slice(0, at)) as (typeof parts)[number];
      if (at < 0 || !parts.includes(name))
        throw new Error(
          `bad label option ${JSON.stringify(option)}, valid options 'disable' or 'user, role, level, type, filetype' followed by ':' and a value`,
        );
      changes[name] = option.slice(at + 1);
    }
    const { filetype, ...own } = changes;
    const plain = parseContext(this.#policy.process);
    // A policy without levels has none of its own.
    const level = own.level ?? (plain.level === "" ? "" : this.#freeLevel());
    if (level !== "") this.#levels.add(level);
    const process = { ...plain, ...own, level };
    const file = { ...parseContext(this.#policy.file), level };
    if (own.user !== undefined) file.user = own.user;
    if (filetype !== undefined) file.type = filetype;
    return { process: formatContext(process), mount: formatContext(file) };
  }

  /** Notes the categories of a container that is there already. */
  reserve(label: string): void {
    if (label !== "") this.#levels.add(parseContext(label).level);
  }

  /** Its categories are free again, unless one of `others`, labels of what is still there, has the same. */
  release(label: string, others: Iterable<string | undefined> = []): void {
    const level = levelOf(label);
    if (level === "" || level === unconfinedLevel) return;
    for (const other of others) if (levelOf(other ?? "") === level) return;
    this.#levels.delete(level);
  }

  #freeLevel(): string {
    const pairs = (this.#categories * (this.#categories - 1)) / 2;
    if (this.#levels.size > pairs) throw new Error("no SELinux categories are left");
    for (;;) {
      const one = this.#random(this.#categories);
      const other = this.#random(this.#categories);
      if (one === other) continue;
      const level = `s0:c${Math.min(one, other)},c${Math.max(one, other)}`;
      if (!this.#levels.has(level)) return level;
    }
  }
}

/** The options that give a container another one's label: for namespaces they share. */
export function optionsOf(label: string): string[] {
  if (label === "") return [];
  const { user, role, type, level } = parseContext(label);
  return [`user:${user}`, `role:${role}`, `type:${type}`, ...(level === "" ? [] : [`level:${level}`])];
}

export const machineHasSelinux = (root = ""): boolean => existsSync(`${root}/sys/fs/selinux/enforce`);

/** The policy of this machine; undefined without SELinux. */
export function machinePolicy(root = ""): Policy | undefined {
  const read = (path: string) => {
    try {
      return readFileSync(`${root}${path}`, "utf8");
    } catch {
      return undefined;
    }
  };
  if (!machineHasSelinux(root)) return undefined;
  const name = read("/etc/selinux/config")?.match(/^\s*SELINUXTYPE\s*=\s*(\S+)/m)?.[1];
  const text =
    read("/usr/share/containers/selinux/contexts") ??
    (name && read(`/etc/selinux/${name}/contexts/lxc_contexts`));
  return text ? parsePolicy(text) : undefined;
}
