// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Dockerfiles' own variables.
/** Directives, lines, quoting, expansion, heredocs. */
import type { Case } from "../case.ts";

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const noHeredocs = { none: "because docker 20.10's frontend and buildah 1.28 have no heredocs" };

export const language: Case[] = [
  {
    name: "instructions are read in any case, with comments, blank lines and indentation between them",
    dockerfile: `# first\n\n  # indented\nfrom busybox\n\tEnv A=1\n# between\nlabel B=2\n   cmd ["x"]\n`,
    config: { Env: [path, "A=1"], Labels: { B: "2" }, Cmd: ["x"] },
    tree: {},
    layers: 0,
    peer: ["docker", "buildah"],
  },
  {
    name: "a line goes on after a backslash, comments and blank lines inside it are left out",
    dockerfile: `FROM busybox\nENV A=1 \\\n# not this\n  B=2 \\\n\n  C=3\nLABEL x="a\\\nb"\n`,
    config: { Env: [path, "A=1", "B=2", "C=3"], Labels: { x: "ab" } },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "the escape directive takes the backtick, and backslashes are plain then",
    dockerfile: '# escape=`\nFROM busybox\nENV A=c:\\dir `\n  B=`"x\nLABEL y="a`"b"\n',
    config: { Env: [path, "A=c:\\dir", 'B="x'], Labels: { y: 'a"b' } },
    tree: {},
    peer: "docker",
  },
  {
    name: "a directive after a comment is a comment",
    dockerfile: "# plain\n# escape=`\nFROM busybox\nENV A=1 \\\n B=2\n",
    config: { Env: [path, "A=1", "B=2"] },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "an unknown directive is a comment, and ends the directives",
    dockerfile: "# unknown=value\n# escape=`\nFROM busybox\nENV A=1 \\\n B=2\n",
    config: { Env: [path, "A=1", "B=2"] },
    tree: {},
    peer: "docker",
  },
  {
    name: "syntax=docker/dockerfile is the built-in frontend",
    dockerfile: "# syntax=docker/dockerfile:1\nFROM busybox\nCOPY <<E /f\nx\nE\n",
    tree: { "/f": "644 =x\n" },
    peer: { none: "because docker 20.10 downloads that frontend, and buildah ignores the directive" },
  },
  {
    name: "Windows line ends and a byte order mark are read",
    dockerfile: "\ufeffFROM busybox\r\nENV A=1 \\\r\n  B=2\r\nLABEL c=d\r\n",
    config: { Env: [path, "A=1", "B=2"], Labels: { c: "d" } },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "quotes: single ones keep all, double ones expand, words stick together",
    dockerfile: `FROM busybox\nENV A=a B='$A "q"' C="$A 'q'" D=x"y z"'w v' E=a\\ b F="\\"" G='\\' H="a\\tb"\n`,
    config: {
      Env: [path, "A=a", `B=$A "q"`, "C= 'q'", "D=xy zw v", "E=a b", 'F="', "G=\\", "H=a\\tb"],
    },
    tree: {},
    peer: "docker",
  },
  {
    name: "an ENV instruction sees the values from before it",
    dockerfile: "FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n",
    config: { Env: [path, "abc=bye", "def=hello", "ghi=bye"] },
    tree: {},
    peer: "docker",
  },
  {
    name: "expansion: defaults, alternatives and escapes",
    dockerfile: [
      "FROM busybox",
      "ENV set=value empty=",
      'ENV A=${set:-no} B=${empty:-yes} C=${unset:-$set} D=${set:+yes} E=${empty:+no} F=\\${set} G=\\$set H="${unset:-a b}"',
      "ENV I=${set}x$set-y J=$set/$unset/",
      "",
    ].join("\n"),
    config: {
      Env: [
        ...[path, "set=value", "empty=", "A=value", "B=yes", "C=value", "D=yes", "E=", "F=${set}", "G=$set"],
        ...["H=a b", "I=valuexvalue-y", "J=value//"],
      ],
    },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "expansion: without a colon only unset variables count",
    dockerfile:
      "FROM busybox\nENV set=v empty=\nENV A=${empty-no} B=${unset-yes} C=${empty+yes} D=${unset+no} E=${set-no}\n",
    config: { Env: [path, "set=v", "empty=", "A=", "B=yes", "C=yes", "D=", "E=v"] },
    tree: {},
    peer: { none: "because docker 20.10 and buildah 1.28 want the colon" },
  },
  {
    name: "expansion: prefixes and suffixes, shortest and longest, with patterns",
    dockerfile: [
      "FROM busybox",
      "ENV f=foobarbaz p=/a/b/c.tar.gz",
      "ENV A=${f#f*b} B=${f##f*b} C=${f%b*} D=${f%%b*} E=${p##*/} F=${p%/*} G=${p%.*} H=${p%%.*} I=${f#x} J=${f#f?o}",
      "",
    ].join("\n"),
    config: {
      Env: [
        ...[path, "f=foobarbaz", "p=/a/b/c.tar.gz", "A=arbaz", "B=az", "C=foobar", "D=foo", "E=c.tar.gz"],
        ...["F=/a/b", "G=/a/b/c.tar", "H=/a/b/c", "I=foobarbaz", "J=barbaz"],
      ],
    },
    tree: {},
    peer: { none: "because docker 20.10 and buildah 1.28 do not have these modifiers" },
  },
  {
    name: "expansion: replacing the first and all",
    dockerfile:
      "FROM busybox\nENV f=foobarbaz\nENV A=${f/ba/__} B=${f//ba/__} C=${f/o?b/X} D=${f//a/} E=${f/nothing/X}\n",
    config: {
      Env: [path, "f=foobarbaz", "A=foo__rbaz", "B=foo__r__z", "C=fXarbaz", "D=foobrbz", "E=foobarbaz"],
    },
    tree: {},
    peer: { none: "because docker 20.10 and buildah 1.28 do not have these modifiers" },
  },
  {
    name: "expansion: a required variable that is not there stops the build with its message",
    dockerfile: "FROM busybox\nARG need\nENV A=${need:?must be given}\n",
    error: ["must be given", "Dockerfile:3"],
    peer: "docker",
  },
  {
    name: "expansion happens in COPY, WORKDIR, USER, EXPOSE, VOLUME, STOPSIGNAL and LABEL, not in CMD or RUN",
    dockerfile: [
      "FROM busybox",
      "ENV d=dir s=9 u=www-data p=80",
      "WORKDIR /$d",
      "COPY $d.txt ${d}2/",
      "EXPOSE $p/tcp",
      "VOLUME /v/$d",
      "STOPSIGNAL $s",
      "LABEL k$d=v$d",
      "USER $u",
      'CMD ["echo", "$d"]',
      'ENTRYPOINT echo $d "$s"',
      "",
    ].join("\n"),
    files: { "dir.txt": "t" },
    config: {
      Env: [path, "d=dir", "s=9", "u=www-data", "p=80"],
      WorkingDir: "/dir",
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v/dir": {} },
      StopSignal: "9",
      Labels: { kdir: "vdir" },
      User: "www-data",
      Cmd: ["echo", "$d"],
      Entrypoint: ["/bin/sh", "-c", 'echo $d "$s"'],
    },
    tree: { "/dir/": "755", "/dir/dir2/": "755", "/dir/dir2/dir.txt": "644 =t" },
    layers: 2,
    peer: ["docker", "buildah"],
  },
  {
    name: "the older forms of ENV and LABEL take the rest of the line",
    dockerfile: 'FROM busybox\nENV one  two  three "four"\nLABEL some text here\nENV two ${one}\n',
    config: { Env: [path, "one=two  three four", "two=two  three four"], Labels: { some: "text here" } },
    tree: {},
    peer: "docker",
  },
  {
    name: "an exec form that is no JSON is a command of the shell",
    dockerfile: `FROM busybox\nCMD ['a', "b"]\nENTRYPOINT [ "x" , "y\\u0041" ]\n`,
    config: { Cmd: ["/bin/sh", "-c", `['a', "b"]`], Entrypoint: ["x", "yA"] },
    tree: {},
    peer: "docker",
  },
  {
    name: "RUN with a heredoc is a script of the shell",
    dockerfile: "FROM busybox\nARG v=1\nRUN <<EOF\nset -e\necho $v > /a\necho '$v' > /b\nEOF\n",
    tree: { "/a": "644 =1\n", "/b": "644 =$v\n" },
    layers: 1,
    peer: noHeredocs,
  },
  {
    name: "RUN with a heredoc for a command, tabs cut, and two in one line",
    dockerfile:
      "FROM busybox\nRUN cat > /a <<-A && cat > /b <<'B'\n\tone $HOME\n\t\ttwo\nA\n\tthree $HOME\nB\n",
    tree: { "/a": "644 =one /root\ntwo\n", "/b": "644 =\tthree $HOME\n" },
    peer: noHeredocs,
  },
  {
    name: "RUN with a heredoc and an interpreter line runs the interpreter",
    dockerfile: 'FROM busybox\nRUN <<EOF\n#!/bin/awk -f\nBEGIN { print 6*7 > "/awk" }\nEOF\n',
    tree: { "/awk": "644 =42\n" },
    peer: noHeredocs,
  },
  {
    name: "COPY takes heredocs as files: expanded, quoted, tabs cut, several at once",
    dockerfile:
      "FROM busybox\nARG v=1\nCOPY <<a.txt <<'b.txt' <<-\"c.txt\" x /d/\nv=$v\na.txt\nv=$v\nb.txt\n\ttab $v\nc.txt\nCOPY --chmod=755 --chown=33:33 <<E /e\n#!\nE\n",
    files: { x: "x" },
    tree: {
      "/d/": "755",
      "/d/a.txt": "644 =v=1\n",
      "/d/b.txt": "644 =v=$v\n",
      "/d/c.txt": "644 =tab $v\n",
      "/d/x": "644 =x",
      "/e": "755 33:33 =#!\n",
    },
    layers: 2,
    peer: noHeredocs,
  },
  {
    name: "a heredoc's name is no pattern",
    dockerfile: "FROM busybox\nCOPY <<'a*b' <<'c[d?' /x/\n1\na*b\n2\nc[d?\n",
    tree: { "/x/": "755", "/x/a*b": "644 =1\n", "/x/c[d?": "644 =2\n" },
    peer: noHeredocs,
  },
  {
    name: "a heredoc's lines are no instructions, comments or continuations",
    dockerfile: "FROM busybox\nCOPY <<E /f\n# kept\nRUN false \\\n\n  end\nE\n",
    tree: { "/f": "644 =# kept\nRUN false \n\n  end\n" },
    peer: noHeredocs,
  },
];
