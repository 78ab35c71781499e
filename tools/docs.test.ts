import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { table } from "./layers.ts";

const root = join(import.meta.dir, "..");
const pages = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "native/README.md"],
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

const sources = ["src", "native", "test", "tools", "bench"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
);

for (const page of pages)
  test(`what ${page} links to and names is there`, () => {
    const text = readFileSync(join(root, page), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map((match) =>
      join(dirname(page), match[1]!),
    );
    const named = [...text.matchAll(/`((?:src|native|tools|docs|test|bench|proto)\/[\w./-]+)`/g)].map(
      (match) => match[1]!,
    );
    // Files of the sources are also named without `src/`, and alone.
    const short = [...text.matchAll(/`((?:[\w-]+\/)*[\w-]+\.(?:ts|c|h))`/g)].map((match) => match[1]!);
    expect([
      ...[...links, ...named].filter((path) => !existsSync(join(root, path))),
      ...short.filter((path) => !sources.some((file) => file === path || file.endsWith(`/${path}`))),
    ]).toEqual([]);
  });

test("the table of folders in docs/architecture.md is the one that the imports are checked by", () => {
  const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)\/(?:gen)?` +\|[^|]*\| *([^|]*?) *\|$/gm)].filter(
    ([, , may]) => may !== "everything",
  );
  expect(rows.map(([, folder]) => folder).sort()).toEqual(Object.keys(table).sort());
  for (const [, folder, may] of rows) {
    const allowed = may === "nothing" ? [] : may!.replace(/ \([^)]*\)/g, "").split(", ");
    // Parts of a folder may stand for it there, with words on which.
    const listed = table[folder!]!.map((path) =>
      may!.includes(`${path.split("/")[0]} (`) ? path.split("/")[0]! : path,
    );
    expect({ folder, allowed: allowed.sort() }).toEqual({ folder, allowed: [...new Set(listed)].sort() });
  }
});
