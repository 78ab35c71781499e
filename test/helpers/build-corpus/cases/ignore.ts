/** .dockerignore: what of a context is sent, in the order and with the exceptions that it says. */
import type { Case } from "../case.ts";

export const ignore: Case[] = [];

/** A case whose `ctx` is copied to `/o`, of empty files; a directory that is left without any ends in a slash. */
function add(
  name: string,
  patterns: string,
  files: string[],
  left: string[],
  peer: Case["peer"] = "docker",
): void {
  const tree: Record<string, string> = { "/o/": "755" };
  for (const path of left) {
    path.split("/").reduce((parent, part) => {
      if (parent) tree[`/o${parent}/`] = "755";
      return `${parent}/${part}`;
    }, "");
    if (!path.endsWith("/")) tree[`/o/${path}`] = "644 =";
  }
  ignore.push({
    name,
    dockerfile: "FROM busybox\nCOPY ctx /o/\n",
    files: {
      ...Object.fromEntries(files.map((path) => [`ctx/${path}`, ""])),
      ".dockerignore": `Dockerfile\n.dockerignore\n${patterns}`,
    },
    tree,
    peer,
  });
}

add(
  "a name, with and without slashes around it",
  "ctx/a\n/ctx/b\nctx/d/\n",
  ["a", "b", "c", "d/x", "e/a"],
  ["c", "e/a"],
);
add(
  "stars do not cross slashes, two stars do",
  "ctx/*.o\nctx/**/*.tmp\n",
  ["a.o", "d/a.o", "x.tmp", "d/e/x.tmp", "k"],
  ["d/a.o", "d/e/", "k"],
);
add(
  "two stars at the front match everywhere",
  "**/*.log\n**/cache\n",
  ["a.log", "d/b.log", "cache/x", "d/cache/y", "k"],
  ["d/", "k"],
);
add(
  "question marks, ranges and escapes",
  "ctx/a?\nctx/[b-c]x\nctx/\\*\n",
  ["ab", "abc", "bx", "dx", "*", "k"],
  ["abc", "dx", "k"],
);
add(
  "an exception brings back what an earlier line took away",
  "ctx/*.md\n!ctx/README.md\n",
  ["README.md", "b.md", "k"],
  ["README.md", "k"],
);
add(
  "the last line that matches counts",
  "ctx/*.md\n!ctx/R*.md\nctx/READ*.md\n",
  ["README.md", "R.md", "k"],
  ["R.md", "k"],
);
add(
  "exceptions inside of an ignored directory",
  "ctx/d\n!ctx/d/keep\n!ctx/d/sub/k*\n",
  ["d/x", "d/keep", "d/sub/kept", "d/sub/no", "k"],
  ["d/keep", "d/sub/kept", "k"],
);
add(
  "all ignored but one directory",
  "*\n!ctx/src\n",
  ["a", "src/x", "src/d/y", "src2/z"],
  ["src/x", "src/d/y"],
);
add("two stars with an exception", "**\n!ctx/**/*.go\n", ["a.go", "d/b.go", "d/c.txt"], ["a.go", "d/b.go"], {
  with: "docker",
  but: { tree: "docker 20.10 does not look into a directory that two stars took away", times: "the same" },
});
add(
  "comments, blank lines, spaces around a pattern, Windows line ends",
  "# ctx/a\n\n  ctx/b  \r\nctx/c\r\n",
  ["a", "b", "c"],
  ["a"],
);
add(
  "dots and double slashes are cleaned away",
  "./ctx/a\nctx//b\nctx/x/../c\n",
  ["a", "b", "c", "x/k"],
  ["x/k"],
);
add(
  "two stars in the middle match no directory, too",
  "ctx/**/z\n",
  ["z", "a/z", "a/b/z", "a/zz"],
  ["a/b/", "a/zz"],
);
add(
  "a name of a directory is not a prefix of others",
  "ctx/ab\n",
  ["ab/x", "abc/x", "abc2"],
  ["abc/x", "abc2"],
);
add("nothing is ignored by an exception alone", "!ctx/a\n", ["a", "b"], ["a", "b"]);

ignore.push(
  {
    name: "ignored Dockerfile and ignore file are read all the same, but not copied",
    dockerfile: "FROM busybox\nCOPY . /o/\n",
    files: { ".dockerignore": "*\n!f\n", f: "f" },
    tree: { "/o/": "755", "/o/f": "644 =f" },
    peer: ["docker", "buildah"],
  },
  {
    name: "an ignored file that is copied by name is not there",
    dockerfile: "FROM busybox\nCOPY secret /\n",
    files: { ".dockerignore": "secret\n", secret: "s" },
    error: ['"/secret": not found', "Dockerfile:2"],
    peer: ["docker"],
  },
  {
    name: "Dockerfile.dockerignore goes before .dockerignore",
    dockerfile: "FROM busybox\nRUN false\n",
    files: {
      ".dockerignore": "f\n",
      "My.Dockerfile": "FROM busybox\nCOPY . /o/\n",
      "My.Dockerfile.dockerignore": "g\n*ockerfile*\n.dockerignore\n",
      f: "f",
      g: "g",
    },
    flags: ["-f", "$$DIR/context/My.Dockerfile"],
    tree: { "/o/": "755", "/o/f": "644 =f" },
    peer: "docker",
  },
  {
    name: "a Dockerfile outside of the context, with its own ignore file",
    dockerfile: "FROM busybox\nRUN false\n",
    beside: { other: { D: "FROM busybox\nCOPY . /o/\n", "D.dockerignore": "Dockerfile\na\n" } },
    files: { a: "a", b: "b" },
    flags: ["-f", "$$DIR/other/D"],
    tree: { "/o/": "755", "/o/b": "644 =b" },
    peer: "docker",
  },
);
