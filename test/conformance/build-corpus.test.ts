/**
 * The corpus of Dockerfiles (test/helpers/build-corpus): each is built by us and compared with what is expected, and
 * with what docker 20.10 (BuildKit and classic) or buildah makes of it. BUILD_CORPUS=text builds those whose name has it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import {
  type Builder,
  type Ours,
  startBuildah,
  startDocker,
  startOurs,
} from "../helpers/build-corpus/builders.ts";
import type { Case, Outcome, PeerName } from "../helpers/build-corpus/case.ts";
import { groups } from "../helpers/build-corpus/cases/index.ts";
import { startWorld, type World } from "../helpers/build-corpus/world.ts";

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const needed = ["/usr/sbin/dockerd", "/usr/bin/docker", "/usr/bin/buildah", "/usr/bin/docker-registry"];
const missing = needed.filter((program) => !existsSync(program));
const wanted = process.env["BUILD_CORPUS"] ?? "";
const chosen = Object.values(groups)
  .flat()
  .filter(({ name }) => name.includes(wanted));

type Answer = { outcome: Outcome } | { broken: Error };
const answers = new Map<string, Promise<Answer>>();
const open: AsyncDisposable[] = [];
let world: World;

/** Works on a list with so many at a time; who asks for an answer waits for it. */
function pool(builder: Builder, who: string, items: readonly Case[], width: number): void {
  let next = 0;
  const settle = new Map<Case, (answer: Answer) => void>();
  for (const item of items)
    answers.set(`${who} ${item.name}`, new Promise((resolve) => settle.set(item, resolve)));
  const worker = async () => {
    for (let item = items[next++]; item; item = items[next++]) {
      const answer: Answer = await builder.build(item).then(
        (outcome) => ({ outcome }),
        (broken: Error) => ({ broken }),
      );
      settle.get(item)!(answer);
    }
  };
  for (let at = 0; at < width; at++) void worker();
}

async function answerOf(who: string, item: Case): Promise<Outcome> {
  const answer = await answers.get(`${who} ${item.name}`)!;
  if ("broken" in answer) throw answer.broken;
  return answer.outcome;
}

/** The builders a case is compared with. */
function peersOf({ peer }: Case): PeerName[] {
  if (typeof peer === "string") return [peer];
  if (Array.isArray(peer)) return peer;
  return "none" in peer ? [] : [peer.with];
}
const by = (name: PeerName) => chosen.filter((item) => peersOf(item).includes(name));

beforeAll(async () => {
  if (missing.length > 0 || chosen.length === 0) return;
  world = await startWorld();
  const start = async <B extends AsyncDisposable>(starting: Promise<B>): Promise<B> => {
    const builder = await starting;
    open.push(builder);
    return builder;
  };
  const [ours, docker, buildah] = await Promise.all([
    start<Ours>(startOurs(world)),
    start(startDocker(world)),
    start(startBuildah(world)),
  ]);
  pool(ours, "corten", chosen, 3);
  pool(docker.buildkit, "docker", by("docker"), 4);
  pool(docker.classic, "classic", by("classic"), 1);
  pool(buildah, "buildah", by("buildah"), 2);
}, 240_000);
afterAll(async () => {
  for (const builder of open) await builder[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
}, 240_000);

/** Lines of a tree may have the world's words, too. */
const filled = (tree: Record<string, string>) =>
  Object.fromEntries(Object.entries(tree).map(([name, line]) => [name, world.words(line)]));

/** What ours must be, from what the case says of it; what it says nothing of is left out. */
function expected(item: Case): Outcome {
  const base = item.scratch ? { Env: [path], WorkingDir: "/" } : { Env: [path], Cmd: ["sh"] };
  const all = Object.entries({ ...base, ...item.config });
  return {
    config: Object.fromEntries(all.filter(([, value]) => Object.keys(value).length > 0)),
    ...(item.author === undefined ? {} : { author: item.author }),
    ...("tree" in item && item.tree === undefined ? {} : { tree: filled(item.tree ?? {}) }),
    ...(item.times ? { times: item.times } : {}),
    ...(item.layers === undefined ? {} : { layers: item.layers }),
    ...(item.again ? { ran: item.again.map(({ ran }) => [...ran].sort()) } : {}),
  };
}

/** One line per place where two values are not the same. */
function differences(left: unknown, right: unknown, place: string): string[] {
  if (Bun.deepEquals(left, right)) return [];
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap(left) || !isMap(right))
    return [`${place}: ${JSON.stringify(left)}, not ${JSON.stringify(right)}`];
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys].flatMap((key) => differences(left[key], right[key], `${place} ${key}`));
}

/** What of an outcome is the same with everybody who does it right. */
const comparable: Record<PeerName, Array<keyof Outcome>> = {
  docker: ["config", "author", "platform", "tree", "times", "layers", "ran", "later"],
  classic: ["config", "author", "platform", "tree"],
  buildah: ["config", "author", "platform", "tree"],
};

function problemsOf(item: Case, ours: Outcome): string[] {
  const said = ours.failure ?? "";
  if (item.error === undefined)
    return ours.failure === undefined
      ? [
          ...Object.entries(expected(item)).flatMap(([field, value]) =>
            differences(ours[field as keyof Outcome], value, `ours, ${field}`),
          ),
          ...(item.again ?? []).flatMap(({ name, tree }, at) =>
            tree ? differences(ours.later![at], tree, `ours after ${name}`) : [],
          ),
        ]
      : [`ours fails: ${said}`];
  if (ours.failure === undefined) return ["ours builds"];
  return [item.error]
    .flat()
    .map(world.words)
    .filter((words) => !said.includes(words))
    .map((words) => `ours does not say ${JSON.stringify(words)} but: ${said}`);
}

/** What of a field can be compared with this peer. */
function seenBy(peer: PeerName, field: keyof Outcome, { left = [] }: Case, outcome: Outcome): unknown {
  const { config, tree, times } = outcome;
  const without = (map: Record<string, string> | undefined, drop: (path: string) => boolean) =>
    Object.fromEntries(Object.entries(map ?? {}).filter(([name]) => !drop(name)));
  // buildah has its own order of variables.
  if (peer === "buildah" && field === "config" && config?.Env)
    return { ...config, Env: config.Env.toSorted() };
  if (peer === "docker" && field === "tree") return without(tree, (name) => left.includes(name));
  if (peer === "docker" && field === "later")
    return outcome.later?.map((one) => without(one, (name) => left.includes(name)));
  // docker 20.10 loses the times of directories on the way from the client.
  if (peer === "docker" && field === "times") return without(times, (name) => name.endsWith("/"));
  return outcome[field];
}

function comparedWith(peer: PeerName, item: Case, ours: Outcome, theirs: Outcome): string[] {
  if (item.error !== undefined) return theirs.failure === undefined ? [`${peer} builds`] : [];
  if (theirs.failure !== undefined) return [`${peer} fails: ${theirs.failure}`];
  const differs = typeof item.peer === "object" && "but" in item.peer ? Object.keys(item.peer.but) : [];
  const fields = comparable[peer].filter((field) => !differs.includes(field));
  return fields.flatMap((field) => {
    const [left, right] = [ours, theirs].map((outcome) => seenBy(peer, field, item, outcome));
    return differences(left, right, `${peer}, ${field}`);
  });
}

for (const [group, cases] of Object.entries(groups)) {
  describe(group, () => {
    for (const item of cases.filter((one) => chosen.includes(one))) {
      const title = missing.length > 0 ? `${item.name} [missing: ${missing.join(", ")}]` : item.name;
      (missing.length > 0 ? test.skip : test)(
        title,
        async () => {
          const ours = await answerOf("corten", item);
          const problems = problemsOf(item, ours);
          for (const peer of peersOf(item))
            problems.push(...comparedWith(peer, item, ours, await answerOf(peer, item)));
          expect(problems).toEqual([]);
        },
        300_000,
      );
    }
  });
}
