import { sleep } from "../../../src/base/async.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { until } from "../engine.ts";
import { notOffered } from "./runtimes.ts";
import {
  type Cell,
  type Driver,
  type EngineName,
  type Feature,
  features,
  type Once,
  type Row,
  type Runtime,
  slowness,
} from "./types.ts";

const limit = 64 << 20;
const limitFile = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
/** Who has seen its output knows that SIGTERM ends it: a first process without a handler does not even get it. */
const told = `trap "exit 7" TERM; echo logged; cat ${limitFile} || cat /sys/fs/cgroup/memory.max`;
const job = `${told}; while :; do sleep 0.05; done`;
/** Emulated, a loop holds up the rest. */
const idleJob = `${told}; sleep 100000 & wait`;

/** Tries all features of one engine with one runtime; `why` gets the reasons of those that failed. */
export async function tryFeatures(
  driver: Driver,
  engine: EngineName,
  runtime: Runtime,
  why: string[],
  attempt = 1,
): Promise<Row> {
  const id = `matrix-${runtime}-try${attempt}`;
  let output = "";
  const cri = engine.includes("CRI");
  const slow = slowness(runtime);
  /** One machine for both, where each would cost seconds of processor time. */
  let shared: Promise<Once> | undefined;
  const runAndStdin = () => {
    const words = ["sh", "-c", "read word; echo got $word; echo hello; exit 42"];
    shared ??= driver.once(`${id}-1`, words, { input: "through\n" });
    return shared;
  };
  const together = runtime === "vm" && !cri;
  const checks: Record<Feature, () => Promise<boolean | undefined>> = {
    async run() {
      const { code, stdout } = together
        ? await runAndStdin()
        : await driver.once(`${id}-1`, ["sh", "-c", "echo hello; exit 42"]);
      return code === 42 && stdout.includes("hello");
    },
    async tty() {
      const { stdout } = await driver.once(
        `${id}-2`,
        ["sh", "-c", "test -t 0 && test -t 1 && echo terminal; sleep 0.1"],
        {
          tty: true,
        },
      );
      return stdout.includes("terminal");
    },
    async stdin() {
      const words = ["sh", "-c", "read word; echo got $word"];
      const { stdout } = together
        ? await runAndStdin()
        : await driver.once(`${id}-3`, words, { input: "through\n" });
      return stdout.includes("got through");
    },
    async logs() {
      await driver.start(id, ["sh", "-c", runtime === "vm" ? idleJob : job]);
      await until(
        `the output of ${id}`,
        async () => {
          output = await driver.logs(id);
          return output.includes("logged");
        },
        10 * slow,
      );
      return true;
    },
    async limits() {
      if (driver.limit) return (await driver.limit(id)) === limit;
      await until("the limit", async () => (await driver.logs(id)).includes(String(limit)), 2 * slow);
      return true;
    },
    async exec() {
      const { code, stdout } = await driver.exec(id, ["sh", "-c", `echo inside; exit ${cri ? 0 : 3}`]);
      return stdout.includes("inside") && code === (cri ? 0 : 3);
    },
    pause: () => driver.pause(id),
    async stats() {
      const used = await driver.stats(id);
      return used > 0 && used <= limit;
    },
    async checkpoint() {
      // It may end with it.
      await driver.remove(id);
      const other = `${id}-4`;
      await driver.start(other, ["sleep", "1000"]);
      try {
        return (await driver.checkpoint(other)) || undefined;
      } finally {
        await driver.remove(other);
      }
    },
    async kill() {
      return (await driver.kill(id)) === 7;
    },
  };
  const row = {} as Row;
  const order: Feature[] = [
    ...(["run", "tty", "stdin", "logs", "limits", "exec"] as const),
    ...(["pause", "stats", "kill", "checkpoint"] as const),
  ];
  try {
    for (const feature of order) row[feature] = await cell(feature);
  } finally {
    await driver.remove(id).catch(() => {});
  }
  return Object.fromEntries(features.map((feature) => [feature, row[feature]])) as Row;

  async function cell(feature: Feature): Promise<Cell> {
    if (notOffered(engine, runtime, feature)) return "–";
    try {
      const started = performance.now();
      const passed = await Promise.race([checks[feature](), sleep(30_000 * slow).then(() => false)]);
      if (process.env["CORTEN_MATRIX"])
        console.error(engine, runtime, feature, passed, Math.round(performance.now() - started));
      if (passed === undefined) return "–";
      if (!passed) why.push(`${engine}, ${runtime}, ${feature}: not as it should be`);
      return passed ? "yes" : "FAILED";
    } catch (error) {
      why.push(`${engine}, ${runtime}, ${feature}: ${messageOf(error)}`);
      return "FAILED";
    }
  }
}
