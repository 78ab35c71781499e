/** COPY and ADD (reference: "COPY", "ADD"). */
import { SyntaxProblem } from "../errors.ts";
import type { AddInstruction, CopyInstruction, InlineSource } from "../types.ts";
import { parseFlags } from "./flags.ts";
import { chompHeredoc, parseHeredoc } from "./heredoc.ts";
import { commonOf, type Statement } from "./statements.ts";

export function parseCopy(statement: Statement): CopyInstruction {
  checkCount(statement, "COPY");
  const flags = parseFlags(statement.flags, {
    chown: "text",
    from: "text",
    chmod: "text",
    link: "boolean",
    exclude: "list",
    parents: "boolean",
  });
  return {
    kind: "copy",
    ...commonOf(statement),
    ...files(statement, "COPY"),
    from: flags.text("from"),
    chown: flags.text("chown"),
    chmod: flags.text("chmod"),
    link: flags.boolean("link"),
    parents: flags.boolean("parents"),
    exclude: flags.list("exclude"),
  };
}

export function parseAdd(statement: Statement): AddInstruction {
  checkCount(statement, "ADD");
  const flags = parseFlags(statement.flags, {
    chown: "text",
    chmod: "text",
    link: "boolean",
    "keep-git-dir": "boolean",
    checksum: "text",
    unpack: "boolean",
    exclude: "list",
  });
  return {
    kind: "add",
    ...commonOf(statement),
    ...files(statement, "ADD"),
    chown: flags.text("chown"),
    chmod: flags.text("chmod"),
    checksum: flags.text("checksum"),
    link: flags.boolean("link"),
    exclude: flags.list("exclude"),
    ...(flags.used("keep-git-dir") ? { keepGitDir: flags.boolean("keep-git-dir") } : {}),
    ...(flags.used("unpack") ? { unpack: flags.boolean("unpack") } : {}),
  };
}

function checkCount(statement: Statement, keyword: string): void {
  if (statement.args.length >= 2) return;
  throw new SyntaxProblem(
    `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`,
  );
}

function files(
  statement: Statement,
  keyword: string,
): { sources: string[]; inlineSources: InlineSource[]; destination: string } {
  const destination = statement.args.at(-1)!;
  if (heredocOrNone(destination))
    throw new SyntaxProblem(`${keyword} cannot accept a heredoc as a destination`, destination);
  const contents = new Map(statement.heredocs.map((heredoc) => [heredoc.name, heredoc.content]));
  const sources: string[] = [];
  const inlineSources: InlineSource[] = [];
  for (const source of statement.args.slice(0, -1)) {
    const heredoc = heredocOrNone(source);
    if (heredoc) {
      const { name, chomp, expand } = heredoc;
      const content = contents.get(name) ?? "";
      inlineSources.push({ path: name, data: chomp ? chompHeredoc(content) : content, expand });
    } else sources.push(source);
  }
  return { sources, inlineSources, destination };
}

/** A word that cannot be read as a heredoc is a path. */
function heredocOrNone(word: string): ReturnType<typeof parseHeredoc> {
  try {
    return parseHeredoc(word);
  } catch {
    return undefined;
  }
}
