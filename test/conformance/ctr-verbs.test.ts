/**
 * Every verb and subverb of `ctr --help` on our containerd and on Debian's, line by line: the same output, errors and
 * exit codes. CORTEN_CTR_ALL=1 adds the lines that take long.
 */
import { expect, setDefaultTimeout } from "bun:test";
import { ctrLines } from "../helpers/ctr-lines.ts";
import { answersOf, compared, startCtrRegistry } from "../helpers/ctr-world.ts";
import { run } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(480_000);

const needed = ["ctr", "containerd", "runc", "docker-registry", "skopeo", "jq", "script", "/bin/busybox"];
const test = requires(...needed);
const lines = ctrLines.filter(({ hand }) => !hand || process.env["CORTEN_CTR_ALL"]);

test("each line of ctr's verbs says the same on our containerd as on the real one", async () => {
  await using registry = await startCtrRegistry();
  const differing = async () => {
    const [ours, real] = await Promise.all([
      answersOf("corten", registry, lines),
      answersOf("debian", registry, lines),
    ]);
    return new Map(
      lines.flatMap((line, at) => {
        const [mine, theirs] = [compared(line, ours[at]!), compared(line, real[at]!)];
        return mine === theirs
          ? []
          : [[line.line, `${line.line}\n--- ours: ${mine}\n--- real: ${theirs}`] as const];
      }),
    );
  };
  const first = await differing();
  // ctr has races of its own (a progress that is asked for too late): what differs, differs twice.
  const second = first.size > 0 ? await differing() : first;
  expect([...first].flatMap(([line, text]) => (second.has(line) ? [text] : [])).join("\n")).toBe("");
});

test("every subverb that ctr's help lists has a line", async () => {
  const subverbs = async (verb: string): Promise<string[]> => {
    const { stdout } = await run(["ctr", ...verb.split(" ").filter(Boolean), "--help"]);
    const block = /COMMANDS:\n([\s\S]*?)\n\n/.exec(stdout)?.[1] ?? "";
    return block.split("\n").flatMap((text) => /^ {3}([\w-]+)/.exec(text)?.[1] ?? []);
  };
  const groups = (await subverbs("")).filter((verb) => verb !== "help");
  const all = await Promise.all(
    groups.map(async (group) => {
      const verbs = await subverbs(group);
      return verbs.length === 0 ? [group] : verbs.map((verb) => `${group} ${verb}`);
    }),
  );
  const shown = new Set(ctrLines.flatMap(({ verb }) => [verb, verb.split(" ").slice(0, 2).join(" ")]));
  // One line each for what needs a Go program or a shim of its own at the other end.
  const together = /^(?:pprof|shim) /;
  expect(all.flat().filter((verb) => !shown.has(verb) && !together.test(verb))).toEqual([]);
});
