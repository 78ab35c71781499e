/**
 * Runs the three kinds of tests one after the other and closes with one line, `N passed, N failed, N skipped`.
 * What was skipped is listed with its reason (the test's name carries it, see test/helpers/requires.ts), what failed with the
 * end of what it said, and what is on the machine that was not there before.
 *
 *   bun tools/test.ts [unit|integration|conformance …]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftSince, traces } from "./left.ts";

const kinds: Record<string, string[]> = {
  unit: ["src/", "tools/"],
  integration: ["test/integration/"],
  conformance: ["test/conformance/"],
};

interface Outcome {
  passed: number;
  failed: string[];
  skipped: string[];
}

/** Reads Bun's JUnit report: every `<testcase>` with what is inside of it. */
function readReport(xml: string): Outcome {
  const outcome: Outcome = { passed: 0, failed: [], skipped: [] };
  for (const match of xml.matchAll(/<testcase ([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string) =>
      unescapeXml(match[1]!.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1] ?? "");
    const title = `${attribute("file")}: ${attribute("name")}`;
    const body = match[3] ?? "";
    if (body.includes("<failure") || body.includes("<error")) outcome.failed.push(title);
    else if (body.includes("<skipped")) outcome.skipped.push(title);
    else outcome.passed++;
  }
  return outcome;
}

/** Passes a runner's output on and keeps it. */
async function show(output: ReadableStream<Uint8Array>, to: NodeJS.WriteStream, kept: Uint8Array[]) {
  for await (const chunk of output) {
    to.write(chunk);
    kept.push(chunk);
  }
}

/** The last lines before a failed test's own one, by the test's name: what it said. */
function complaints(output: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of output.split("\n")) {
    const [, verdict, name] = line.match(/^\((pass|fail|skip|todo)\) (.*?)( \[[\d.]+m?s\])?$/) ?? [];
    if (verdict === undefined) {
      // Neither the source that Bun shows nor empty lines.
      if (!/^\s*(\d+ \|.*|\^)?$/.test(line)) lines.push(line.slice(0, 300));
      continue;
    }
    // Bun lists the failed ones once more at the end, where they say nothing.
    if (verdict === "fail" && !found.has(name!)) found.set(name!, lines.slice(-15));
    lines = [];
  }
  return found;
}

const unescapeXml = (text: string) =>
  text.replace(
    /&(lt|gt|quot|apos|amp);/g,
    (_, name: string) => ({ lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" })[name]!,
  );

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(kinds);
const before = traces();
const scratch = mkdtempSync(join(tmpdir(), "corten-test-"));
const total: Outcome = { passed: 0, failed: [], skipped: [] };
const said = new Map<string, string[]>();
try {
  for (const kind of wanted) {
    const folders = kinds[kind];
    if (!folders)
      throw new Error(`no such kind of tests: ${kind} (there are ${Object.keys(kinds).join(", ")})`);
    const report = join(scratch, `${kind}.xml`);
    const started = performance.now();
    console.log(`== ${kind}`);
    const run = Bun.spawn(
      [
        process.execPath,
        "test",
        "--parallel=3",
        "--timeout=240000",
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...folders,
      ],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, CORTEN_BIN: join(import.meta.dir, "../dist/corten") },
      },
    );
    const outputs: [Uint8Array[], Uint8Array[]] = [[], []];
    const shown = Promise.all([
      show(run.stdout, process.stdout, outputs[0]),
      show(run.stderr, process.stderr, outputs[1]),
    ]);
    await run.exited;
    // What a test has left running may have the pipes as well; the gate does not wait for its end.
    await Promise.race([shown, Bun.sleep(5000)]);
    for (const output of outputs)
      for (const [name, lines] of complaints(Buffer.concat(output).toString())) said.set(name, lines);
    let outcome: Outcome;
    try {
      outcome = readReport(readFileSync(report, "utf8"));
    } catch {
      outcome = {
        passed: 0,
        failed: [`${kind}: the runner left no report (exit ${run.exitCode})`],
        skipped: [],
      };
    }
    // A file that could not be loaded fails the run without a test case of its own.
    if (run.exitCode !== 0 && outcome.failed.length === 0)
      outcome.failed.push(`${kind}: the runner exited with ${run.exitCode}`);
    console.log(
      `== ${kind}: ${outcome.passed} passed, ${outcome.failed.length} failed, ${outcome.skipped.length} skipped in ${((performance.now() - started) / 1000).toFixed(0)} s`,
    );
    total.passed += outcome.passed;
    total.failed.push(...outcome.failed);
    total.skipped.push(...outcome.skipped);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const left = leftSince(before);
for (const trace of left.slice(0, 30)) console.log(`left on the machine: ${trace}`);
if (left.length > 30) console.log(`left on the machine: ${left.length - 30} more`);
for (const title of total.skipped) console.log(`skipped: ${title}`);
for (const title of total.failed) {
  console.log(`failed: ${title}`);
  const name = [...said.keys()].find(
    (name) => title.endsWith(name) || name.endsWith(title.split(": ").at(-1)!),
  );
  for (const line of said.get(name ?? "") ?? []) console.log(`    ${line}`);
}
console.log(`${total.passed} passed, ${total.failed.length} failed, ${total.skipped.length} skipped`);
process.exit(total.failed.length > 0 || total.passed === 0 ? 1 : 0);
