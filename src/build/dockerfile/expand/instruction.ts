/** Which words of an instruction hold variables (reference: "Environment replacement"), and what they come to. */
import type { Instruction, KeyValue } from "../types.ts";
import { type Env, expandWord, expandWords } from "./lex.ts";

export interface ExpandedInstruction<I extends Instruction> {
  instruction: I;
  /** Names that were used without being set (`lintUndefinedVariables`). */
  unmatched: ReadonlySet<string>;
  /** Names that were used. */
  matched: ReadonlySet<string>;
}

/**
 * The instruction with the variables of its words replaced. All its words see `env` as it is before the instruction.
 *
 * - ENV, LABEL: keys and values; COPY, ADD: sources, destination, chown, chmod, checksum, and the content of heredocs
 *   whose name is not quoted; USER, WORKDIR, VOLUME, STOPSIGNAL; EXPOSE, where one word may come to several.
 * - Not here: ARG, whose default counts only where no value is given (`expandWord`), and the values of RUN's mounts
 *   (`parseMount`). Never: RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK, ONBUILD, MAINTAINER, --from, --exclude.
 */
export function expandInstruction<I extends Instruction>(
  instruction: I,
  env: Env,
  options: { escape?: string } = {},
): ExpandedInstruction<I> {
  const matched = new Set<string>();
  const unmatched = new Set<string>();
  const noted = (expanded: {
    text: string;
    matched: Iterable<string>;
    unmatched: Iterable<string>;
  }): string => {
    for (const name of expanded.matched) matched.add(name);
    for (const name of expanded.unmatched) unmatched.add(name);
    return expanded.text;
  };
  const expand = (word: string) => (word === "" ? "" : noted(expandWord(word, env, options)));
  const pairs = (list: readonly KeyValue[]): KeyValue[] =>
    list.map((pair) => ({ key: expand(pair.key), value: expand(pair.value), legacy: pair.legacy }));
  // Heredocs know the backslash only, whatever the escape directive says, and keep their quotes.
  const raw = (data: string) => noted(expandWord(data, env, { ignoreQuotes: true }));

  const one: Instruction = instruction;
  const change = (): Partial<Instruction> => {
    switch (one.kind) {
      case "env":
        return { env: pairs(one.env) } as Partial<Instruction>;
      case "label":
        return { labels: pairs(one.labels) } as Partial<Instruction>;
      case "copy":
      case "add": {
        const words = {
          chown: expand(one.chown),
          chmod: expand(one.chmod),
          ...(one.kind === "add" ? { checksum: expand(one.checksum) } : {}),
          sources: one.sources.map(expand),
          destination: expand(one.destination),
        };
        const inlineSources = one.inlineSources.map((source) =>
          source.expand ? { ...source, data: raw(source.data) } : source,
        );
        return { ...words, inlineSources } as Partial<Instruction>;
      }
      case "user":
        return { user: expand(one.user) } as Partial<Instruction>;
      case "workdir":
        return { path: expand(one.path) } as Partial<Instruction>;
      case "volume":
        return { volumes: one.volumes.map(expand) } as Partial<Instruction>;
      case "stopsignal":
        return { signal: expand(one.signal) } as Partial<Instruction>;
      case "expose":
        return {
          ports: one.ports.flatMap((port) => expandWords(port, env, options)),
        } as Partial<Instruction>;
      default:
        return {};
    }
  };
  return { instruction: { ...instruction, ...change() } as I, matched, unmatched };
}
