/** AppArmor as this machine has it: whether it is on, which profiles it knows, and the way to give it one. */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { internal } from "../../base/errors.ts";
import { defaultProfile } from "./profile.ts";

/** For containers that are to have no profile; the kernel's own word. */
export const unconfined = "unconfined";

const profiles = "sys/kernel/security/apparmor/profiles";

export class AppArmor {
  readonly #root: string;
  readonly #nested: boolean;
  #supported: boolean | undefined;
  /** Profiles that are being loaded. */
  readonly #loading = new Map<string, Promise<void>>();

  /** `root` is another than / in tests. */
  constructor(root = "/", environment: Record<string, string | undefined> = process.env) {
    this.#root = root;
    this.#nested = (environment["container"] ?? "") !== "";
  }

  /** As runtimes see it: the kernel has it, and it is on. */
  get enabled(): boolean {
    return (
      this.#read("sys/module/apparmor/parameters/enabled").startsWith("Y") &&
      existsSync(join(this.#root, "sys/kernel/security/apparmor"))
    );
  }

  /** As engines see it: profiles can be loaded, too, and we are in no container ourselves. Looked up once. */
  get supported(): boolean {
    this.#supported ??= this.enabled && !this.#nested && this.#has("sbin/apparmor_parser", constants.X_OK);
    return this.#supported;
  }

  /** Docker tells its users of AppArmor where it can see the kernel's profiles, whatever else it can. */
  get visible(): boolean {
    return this.#has(profiles, constants.R_OK);
  }

  /** Whether the kernel has a profile of this name; its list has lines `NAME (MODE)`. */
  loaded(name: string): boolean {
    return readFileSync(join(this.#root, profiles), "utf8")
      .split("\n")
      .some((line) => line.startsWith(`${name} (`));
  }

  /** Gives the kernel the default profile under this name, in place of one that it has. */
  load(name: string): Promise<void> {
    const going = this.#loading.get(name);
    if (going) return going;
    const load = this.#parse(this.text(name)).finally(() => this.#loading.delete(name));
    this.#loading.set(name, load);
    return load;
  }

  /** Loads the default profile if it is missing: services unload what they do not know. */
  async ensure(name: string): Promise<void> {
    await this.#loading.get(name)?.catch(() => {});
    if (!this.loaded(name)) await this.load(name);
  }

  /** The default profile for this machine. */
  text(name: string): string {
    // `NAME (MODE)`, or a name alone.
    const [own = ""] = this.#read("proc/self/attr/current")
      .replace(/[\0\n]+$/, "")
      .split(" (");
    return defaultProfile(name, {
      own: own || unconfined,
      includes: (file) => this.#has(join("etc/apparmor.d", file), constants.R_OK),
    });
  }

  async #parse(text: string): Promise<void> {
    // Without a cache (-K), which is not ours to write; from standard input.
    const argv = [join(this.#root, "sbin/apparmor_parser"), "-Kr"];
    const child = Bun.spawn(argv, { stdin: new Blob([text]), stdout: "pipe", stderr: "pipe" });
    const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const code = await child.exited;
    if (code !== 0)
      throw internal(
        `running '${argv.join(" ")}' failed with output: ${output.join("").trim()}\nerror: ${child.signalCode ? `signal: ${child.signalCode}` : `exit status ${code}`}`,
      );
  }

  #read(path: string): string {
    try {
      return readFileSync(join(this.#root, path), "utf8");
    } catch {
      return "";
    }
  }

  #has(path: string, mode: number): boolean {
    try {
      accessSync(join(this.#root, path), mode);
      return true;
    } catch {
      return false;
    }
  }
}

/** This machine's. */
export const appArmor = new AppArmor();
