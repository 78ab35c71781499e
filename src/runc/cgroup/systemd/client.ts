/** systemd's manager over D-Bus: org.freedesktop.systemd1(5). */
import { existsSync, lstatSync } from "node:fs";
import { deferred } from "../../../base/async.ts";
import { CortenError, isCode, messageOf } from "../../../base/errors.ts";
import { DbusConnection } from "../../../sys/dbus/connection.ts";
import type { DbusValue, Variant } from "../../../sys/dbus/message.ts";
import type { Property } from "./properties.ts";

const destination = "org.freedesktop.systemd1";
const manager = { destination, path: "/org/freedesktop/systemd1", interface: `${destination}.Manager` };

/** The sign of a machine whose first process is systemd (sd_booted(3)). */
const booted = "/run/systemd/system";
const privateSocket = "/run/systemd/private";
const systemBus = "/run/dbus/system_bus_socket";

/** How long systemd may take for one job: runc's limit. */
const jobSeconds = 30;

/** An error that says what is missing where there is no systemd to ask. */
export function requireSystemd(directory = booted): void {
  let found = false;
  try {
    found = lstatSync(directory).isDirectory();
  } catch {}
  if (!found)
    throw new CortenError(
      "failed_precondition",
      `systemd not running on this host (there is no ${directory}), cannot use systemd cgroups manager`,
    );
}

export class Systemd {
  readonly #connection: DbusConnection;
  /** Results of jobs that have ended, by the job's path; and who waits for one. */
  readonly #results = new Map<string, string>();
  #waiting: { job: string; done: (result: string) => void; fail: (error: Error) => void } | undefined;

  private constructor(connection: DbusConnection) {
    this.#connection = connection;
    connection.onSignal = ({ interface: from, member, body }) => {
      if (from !== manager.interface || member !== "JobRemoved") return;
      const [, job, , result] = body as [number, string, string, string];
      if (this.#waiting?.job === job) this.#waiting.done(result);
      else this.#results.set(job, result);
    };
    connection.onClose = (error) => this.#waiting?.fail(error);
  }

  /**
   * Connects to the system's manager: by its private socket, which it has for root, or else by the system bus.
   * One who is neither root nor has a bus of his own cannot make units.
   */
  static async connect(): Promise<Systemd> {
    requireSystemd();
    const problems: string[] = [];
    if (process.geteuid?.() === 0 && existsSync(privateSocket)) {
      try {
        return new Systemd(await DbusConnection.open(privateSocket, "direct"));
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    const address = busPath(process.env["DBUS_SYSTEM_BUS_ADDRESS"]) ?? systemBus;
    try {
      const connection = await DbusConnection.open(address, "bus");
      const systemd = new Systemd(connection);
      await connection.match(
        `type='signal',sender='${destination}',interface='${manager.interface}',member='JobRemoved'`,
      );
      return systemd;
    } catch (error) {
      problems.push(messageOf(error));
    }
    throw new CortenError("unavailable", `cannot reach systemd: ${problems.join("; ")}`);
  }

  /** Makes and starts a unit that lives as long as it has processes; resolves when it runs. */
  async startTransientUnit(name: string, properties: readonly Property[]): Promise<void> {
    const start = () =>
      this.#job("StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "replace", properties as DbusValue, []]);
    let result: string;
    try {
      result = await start();
    } catch (error) {
      // A failed unit of this name may be left from an earlier container: systemd forgets it when it is reset.
      if (!isCode(error, "already_exists")) throw error;
      await this.resetFailed(name);
      result = await start();
    }
    if (result === "done") return;
    await this.resetFailed(name);
    throw new CortenError("internal", `error creating systemd unit \`${name}\`: got \`${result}\``);
  }

  /** Stops a unit and makes systemd forget it; one that is not there is fine. */
  async stopUnit(name: string): Promise<void> {
    try {
      await this.#job("StopUnit", "ss", [name, "replace"]);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
    }
    await this.resetFailed(name);
  }

  /**
   * Changes properties of a running unit, until it ends. systemd answers before it writes them to the cgroup, and writes them
   * before it takes another request: after one more answer nothing of it can come over what the caller writes.
   */
  async setProperties(name: string, properties: readonly Property[]): Promise<void> {
    if (properties.length === 0) return;
    await this.#call("SetUnitProperties", "sba(sv)", [name, true, properties as DbusValue]);
    await this.version();
  }

  async resetFailed(name: string): Promise<void> {
    await this.#call("ResetFailedUnit", "s", [name]).catch((error) => {
      if (isCode(error, "unavailable")) throw error;
    });
  }

  /** The number at the front of what systemd calls its version: "v245.4-1.fc32", "252 (252.38-1~deb12u1)". */
  async version(): Promise<number> {
    const [value] = await this.#connection.call({
      destination,
      path: manager.path,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [manager.interface, "Version"],
    });
    return parseVersion(String((value as Variant).value));
  }

  close(): void {
    this.#connection.onClose = () => {};
    this.#connection.close();
  }

  #call(member: string, signature: string, body: readonly DbusValue[]): Promise<readonly DbusValue[]> {
    return within(
      this.#connection.call({ ...manager, member, signature, body }),
      `systemd's answer to ${member}`,
    );
  }

  /** A call whose answer is a job, and that job's result. One at a time. */
  async #job(member: string, signature: string, body: readonly DbusValue[]): Promise<string> {
    const [job] = (await this.#call(member, signature, body)) as [string];
    const early = this.#results.get(job);
    if (early !== undefined) return early;
    const result = deferred<string>();
    this.#waiting = { job, done: result.resolve, fail: result.reject };
    try {
      return await within(result.promise, `systemd to do ${member} of ${body[0]}`);
    } finally {
      this.#waiting = undefined;
    }
  }
}

export const parseVersion = (text: string) => Number(text.match(/^"?v?(\d+)/)?.[1] ?? -1);

/** The path of the first unix socket of a bus' address (D-Bus Specification, Server Addresses). */
export function busPath(address: string | undefined): string | undefined {
  const value = address?.match(/(?:^|;)unix:(?:[^;]*,)?path=([^,;]+)/)?.[1];
  return value?.replace(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new CortenError("deadline_exceeded", `timeout waiting for ${what}`)),
      jobSeconds * 1000,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One connection for what `work` has to tell systemd. */
export async function withSystemd<T>(work: (systemd: Systemd) => Promise<T>): Promise<T> {
  const systemd = await Systemd.connect();
  try {
    return await work(systemd);
  } finally {
    systemd.close();
  }
}
