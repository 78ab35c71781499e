/** Which steps run again after what change. */
import type { Case } from "../case.ts";

const dockerfile = (name: string, more = "") =>
  `FROM busybox\nRUN echo ${name} > /own\nCOPY a /a\nRUN cat /a > /after\n${more}`;
const built = (name: string) => ({ "/a": "644 =a", "/after": "644 =a", "/own": `644 =${name}\n` });
const own = (name: string) => `RUN echo ${name} > /own`;
const copied = "COPY a /a";
const after = "RUN cat /a > /after";
const a = { a: "a" };
/** docker 20.10 looks at sizes and times only to see what a client has changed. */
const later = 1_650_000_000;
const noHeredocs = { none: "because docker 20.10's frontend has no heredocs" };

export const cache: Case[] = [
  {
    name: "nothing has changed: nothing runs, and the image is the same",
    dockerfile: dockerfile("same"),
    files: a,
    tree: built("same"),
    again: [{ name: "the same", ran: [] }],
    peer: "docker",
  },
  {
    name: "times do not count, content, modes and names do",
    dockerfile: dockerfile("changes"),
    files: a,
    tree: built("changes"),
    again: [
      { name: "a later time", files: { a: { data: "a", time: later } }, ran: [] },
      {
        name: "another mode",
        files: { a: { data: "a", mode: 0o755 } },
        tree: { ...built("changes"), "/a": "755 =a" },
        ran: [copied, after],
      },
      {
        name: "other content of the same size",
        files: { a: { data: "b", mode: 0o755, time: later } },
        tree: { "/a": "755 =b", "/after": "644 =b", "/own": "644 =changes\n" },
        ran: [copied, after],
      },
      {
        name: "as in the beginning",
        files: { a: { data: "a", time: later + 1 } },
        tree: built("changes"),
        ran: [],
      },
    ],
    peer: "docker",
  },
  {
    name: "other content of the same size and time counts",
    dockerfile: "FROM busybox\nCOPY sly /s\n",
    files: { sly: "one" },
    tree: { "/s": "644 =one" },
    again: [{ name: "changed", files: { sly: "two" }, tree: { "/s": "644 =two" }, ran: ["COPY sly /s"] }],
    peer: { none: "because docker 20.10 does not see such a change" },
  },
  {
    name: "a file of the same content written anew is the same",
    dockerfile: dockerfile("anew"),
    files: a,
    tree: built("anew"),
    again: [{ name: "written anew", remove: ["a"], files: a, ran: [] }],
    peer: "docker",
  },
  {
    name: "owners in the context do not count",
    dockerfile: dockerfile("owners"),
    files: a,
    tree: built("owners"),
    again: [{ name: "another owner", files: { a: { data: "a", owner: [12, 34] } }, ran: [] }],
    peer: "docker",
  },
  {
    name: "files that are not copied do not count, nor ignored ones",
    dockerfile: "FROM busybox\nCOPY d /d\nRUN ls /d > /listing-ignored\n",
    files: { "d/x": "x", ".dockerignore": "**/*.tmp\n" },
    tree: { "/d/": "755", "/d/x": "644 =x", "/listing-ignored": "644 =x\n" },
    again: [
      { name: "another file beside", files: { other: "o" }, ran: [] },
      { name: "an ignored one inside", files: { "d/a.tmp": "t" }, ran: [] },
      {
        name: "a new one inside",
        files: { "d/new": "n" },
        tree: { "/d/": "755", "/d/new": "644 =n", "/d/x": "644 =x", "/listing-ignored": "644 =new\nx\n" },
        ran: ["COPY d /d", "RUN ls /d > /listing-ignored"],
      },
      { name: "it is removed again", remove: ["d/new"], ran: [] },
    ],
    peer: "docker",
  },
  {
    name: "an empty directory, a link's target and a name count",
    dockerfile: "FROM busybox\nCOPY e /e\nRUN ls -R /e > /listing-e\n",
    files: { "e/l": "-> one", "e/f": "f" },
    tree: { "/e/": "755", "/e/f": "644 =f", "/e/l": "-> one", "/listing-e": "644 =/e:\nf\nl\n" },
    again: [
      { name: "a directory more", files: { "e/d/": "" }, ran: ["COPY e /e", "RUN ls -R /e > /listing-e"] },
      { name: "another target", files: { "e/l": "-> two" }, ran: ["COPY e /e", "RUN ls -R /e > /listing-e"] },
      {
        name: "a name",
        remove: ["e/f"],
        files: { "e/g": "f" },
        tree: {
          "/e/": "755",
          "/e/d/": "755",
          "/e/g": "644 =f",
          "/e/l": "-> two",
          "/listing-e": "644 =/e:\nd\ng\nl\n\n/e/d:\n",
        },
        ran: ["COPY e /e", "RUN ls -R /e > /listing-e"],
      },
    ],
    peer: "docker",
  },
  {
    name: "LABEL, ENV and CMD in another order or changed after the last step run nothing",
    dockerfile: dockerfile("labels", 'LABEL a=1 b=2\nENV X=1\nCMD ["x"]\n'),
    files: a,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "X=1"],
      Labels: { a: "1", b: "2" },
      Cmd: ["x"],
    },
    tree: built("labels"),
    again: [
      {
        name: "reordered",
        dockerfile: dockerfile("labels", 'CMD ["y"]\nLABEL b=2\nLABEL a=3\nENV X=2\n'),
        ran: [],
      },
    ],
    peer: "docker",
  },
  {
    name: "a LABEL before a RUN does not run it again, an ENV does",
    dockerfile: "FROM busybox\nLABEL l=1\nRUN echo labelled > /x\n",
    config: { Labels: { l: "1" } },
    tree: { "/x": "644 =labelled\n" },
    again: [
      { name: "another label", dockerfile: "FROM busybox\nLABEL l=2\nRUN echo labelled > /x\n", ran: [] },
      {
        name: "an ENV",
        dockerfile: "FROM busybox\nENV l=2\nRUN echo labelled > /x\n",
        ran: ["RUN echo labelled > /x"],
      },
    ],
    peer: "docker",
  },
  {
    name: "an ARG that is declared counts for RUN, another value of one that is not does not",
    dockerfile: "FROM busybox\nRUN echo before-arg > /b\nARG v=1\nRUN echo used-arg > /a\n",
    tree: { "/a": "644 =used-arg\n", "/b": "644 =before-arg\n" },
    again: [
      { name: "not declared", flags: ["--build-arg", "other=1"], ran: [] },
      { name: "the default given", flags: ["--build-arg", "v=1"], ran: [] },
      { name: "another value", flags: ["--build-arg", "v=2"], ran: ["RUN echo used-arg > /a"] },
    ],
    peer: "docker",
  },
  {
    name: "an ARG declared does not count for COPY that does not use it",
    dockerfile: "FROM busybox\nARG w=1\nCOPY arg-file /a\n",
    files: { "arg-file": "unused" },
    tree: { "/a": "644 =unused" },
    again: [{ name: "another value", flags: ["--build-arg", "w=2"], ran: [] }],
    peer: "docker",
  },
  {
    name: "comments, blank lines and continuation do not count",
    dockerfile: "FROM busybox\nRUN echo  spaces\n",
    again: [
      {
        name: "comments",
        dockerfile: "# c\nFROM busybox\n\n# d\nRUN echo \\\n spaces\n",
        ran: [],
      },
    ],
    peer: "docker",
  },
  {
    name: "a RUN that does not depend on a COPY is not run again because of it",
    dockerfile:
      "FROM busybox AS one\nCOPY stage-a /a\nFROM busybox AS two\nRUN echo independent > /i\nFROM two\nCOPY --from=one /a /a\n",
    files: { "stage-a": "a" },
    tree: { "/a": "644 =a", "/i": "644 =independent\n" },
    again: [
      {
        name: "changed",
        files: { "stage-a": { data: "b", time: later } },
        tree: { "/a": "644 =b", "/i": "644 =independent\n" },
        ran: ["COPY stage-a /a", "COPY --from=one /a /a"],
      },
    ],
    peer: "docker",
  },
  {
    name: "the same content out of a stage that ran again is a hit further on",
    dockerfile:
      "FROM busybox AS gen\nCOPY version /v\nRUN echo constant-output > /out\nFROM busybox\nCOPY --from=gen /out /out\nRUN echo behind-content > /z\n",
    files: { version: "1" },
    tree: { "/out": "644 =constant-output\n", "/z": "644 =behind-content\n" },
    again: [
      {
        name: "changed",
        files: { version: { data: "2", time: later } },
        ran: ["COPY version /v", "RUN echo constant-output > /out"],
      },
    ],
    peer: "docker",
  },
  {
    name: "--no-cache runs everything",
    dockerfile: dockerfile("nocache"),
    files: a,
    tree: built("nocache"),
    again: [
      { name: "without", flags: ["--no-cache"], ran: [own("nocache"), copied, after] },
      { name: "with", ran: [] },
    ],
    peer: "docker",
  },
  {
    name: "--no-cache-filter runs the steps of the named stages",
    dockerfile:
      "FROM busybox AS filtered\nRUN cat /proc/sys/kernel/random/uuid > /f\nFROM busybox AS kept\nRUN echo kept-stage > /k\nFROM kept\nCOPY --from=filtered /f /f\n",
    tree: undefined,
    again: [
      {
        name: "filtered",
        flags: ["--no-cache-filter", "filtered"],
        ran: ["RUN cat /proc/sys/kernel/random/uuid > /f", "COPY --from=filtered /f /f"],
      },
    ],
    peer: { none: "because docker 20.10 and buildah 1.28 do not have --no-cache-filter" },
  },
  {
    name: "a secret's value does not count, its declaration does",
    dockerfile:
      "FROM busybox\nRUN --mount=type=secret,id=sec test -e /run/secrets/sec; echo secret-step > /x\n",
    left: ["/run/", "/run/secrets/", "/run/secrets/sec"],
    beside: { s: { one: "1", two: "2" } },
    flags: ["--secret", "id=sec,src=$$DIR/s/one"],
    tree: { "/x": "644 =secret-step\n" },
    again: [{ name: "another value", flags: ["--secret", "id=sec,src=$$DIR/s/two"], ran: [] }],
    peer: "docker",
  },
  {
    name: "a bind mount's content counts",
    dockerfile: "FROM busybox\nRUN --mount=target=/src cat /src/bound > /b\n",
    left: ["/src/"],
    files: { bound: "1" },
    tree: { "/b": "644 =1" },
    again: [
      { name: "the same", ran: [] },
      {
        name: "changed",
        files: { bound: { data: "2", time: later } },
        tree: { "/b": "644 =2" },
        ran: ["RUN --mount=target=/src cat /src/bound > /b"],
      },
    ],
    peer: "docker",
  },
  {
    name: "--chown and --chmod count",
    dockerfile: "FROM busybox\nCOPY owned /o\n",
    files: { owned: "owned" },
    tree: { "/o": "644 =owned" },
    again: [
      {
        name: "chown",
        dockerfile: "FROM busybox\nCOPY --chown=3 owned /o\n",
        ran: ["COPY --chown=3 owned /o"],
      },
      {
        name: "chmod",
        dockerfile: "FROM busybox\nCOPY --chmod=700 owned /o\n",
        ran: ["COPY --chmod=700 owned /o"],
      },
      { name: "neither", dockerfile: "FROM busybox\nCOPY owned /o\n", ran: [] },
    ],
    peer: "docker",
  },
  {
    name: "a download is asked for, and only run when it changed",
    dockerfile: "FROM busybox\nADD $$HTTP/file.txt /cached-download\n",
    tree: { "/cached-download": "600 =downloaded" },
    again: [{ name: "again", ran: [] }],
    peer: "docker",
  },
  {
    name: "a heredoc's text counts",
    dockerfile: "FROM busybox\nCOPY <<E /h\none-heredoc\nE\n",
    tree: { "/h": "644 =one-heredoc\n" },
    again: [
      { name: "the same", ran: [] },
      {
        name: "another",
        dockerfile: "FROM busybox\nCOPY <<E /h\ntwo-heredoc\nE\n",
        tree: { "/h": "644 =two-heredoc\n" },
        ran: ["COPY <<E /h"],
      },
    ],
    peer: noHeredocs,
  },
  {
    name: "COPY --link is a hit on another base",
    dockerfile: "FROM busybox\nRUN echo base-one > /b\nCOPY --link linked /l\n",
    files: { linked: "linked" },
    tree: { "/b": "644 =base-one\n", "/l": "644 =linked" },
    again: [
      {
        name: "another base",
        dockerfile: "FROM busybox\nRUN echo base-two > /b\nCOPY --link linked /l\n",
        tree: { "/b": "644 =base-two\n", "/l": "644 =linked" },
        ran: ["LINK COPY --link linked /l", "RUN echo base-two > /b"],
      },
    ],
    peer: { none: "because docker 20.10's frontend has no --link" },
  },
];
