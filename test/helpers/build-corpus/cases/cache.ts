/** Which steps run again after what change. */
import type { Case } from "../case.ts";

const dockerfile = (name: string, more = "") =>
  `FROM busybox\nRUN echo ${name} > /own\nCOPY a /a\nRUN cat /a > /after\n${more}`;
const own = (name: string) => `RUN echo ${name} > /own`;
const copied = "COPY a /a";
const after = "RUN cat /a > /after";
const a = { a: "a" };
const noHeredocs = { none: "because docker 20.10's frontend has no heredocs" };

export const cache: Case[] = [
  {
    name: "nothing has changed: nothing runs, and the image is the same",
    dockerfile: dockerfile("same"),
    files: a,
    again: [{ name: "the same", ran: [] }],
    peer: "docker",
  },
  {
    name: "times do not count, content, modes and names do",
    dockerfile: dockerfile("changes"),
    files: a,
    again: [
      { name: "a later time", files: { a: { data: "a", time: 1_650_000_000 } }, ran: [] },
      { name: "another mode", files: { a: { data: "a", mode: 0o755 } }, ran: [copied, after] },
      {
        name: "other content of the same size",
        files: { a: { data: "b", mode: 0o755 } },
        ran: [copied, after],
      },
      { name: "as in the beginning", files: a, ran: [] },
    ],
    peer: "docker",
  },
  {
    name: "a file of the same content written anew is the same",
    dockerfile: dockerfile("anew"),
    files: a,
    again: [{ name: "written anew", remove: ["a"], files: a, ran: [] }],
    peer: "docker",
  },
  {
    name: "owners in the context do not count",
    dockerfile: dockerfile("owners"),
    files: a,
    again: [{ name: "another owner", files: { a: { data: "a", owner: [12, 34] } }, ran: [] }],
    peer: "docker",
  },
  {
    name: "files that are not copied do not count, nor ignored ones",
    dockerfile: "FROM busybox\nCOPY d /d\nRUN ls /d > /listing-ignored\n",
    files: { "d/x": "x", ".dockerignore": "**/*.tmp\n" },
    again: [
      { name: "another file beside", files: { other: "o" }, ran: [] },
      { name: "an ignored one inside", files: { "d/a.tmp": "t" }, ran: [] },
      {
        name: "a new one inside",
        files: { "d/new": "n" },
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
    again: [
      { name: "a directory more", files: { "e/d/": "" }, ran: ["COPY e /e", "RUN ls -R /e > /listing-e"] },
      { name: "another target", files: { "e/l": "-> two" }, ran: ["COPY e /e", "RUN ls -R /e > /listing-e"] },
      {
        name: "a name",
        remove: ["e/f"],
        files: { "e/g": "f" },
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
    again: [{ name: "another value", flags: ["--build-arg", "w=2"], ran: [] }],
    peer: "docker",
  },
  {
    name: "comments, blank lines and continuation do not count, spaces of a shell command do",
    dockerfile: "FROM busybox\nRUN echo  spaces\n",
    again: [
      {
        name: "comments",
        dockerfile: "# c\nFROM busybox\n\n# d\nRUN echo \\\n spaces\n",
        ran: ["RUN echo  spaces"].map((s) => s),
      },
    ],
    peer: "docker",
  },
  {
    name: "a RUN that does not depend on a COPY is not run again because of it",
    dockerfile:
      "FROM busybox AS one\nCOPY stage-a /a\nFROM busybox AS two\nRUN echo independent > /i\nFROM two\nCOPY --from=one /a /a\n",
    files: { "stage-a": "a" },
    again: [
      {
        name: "changed",
        files: { "stage-a": "b" },
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
    again: [
      {
        name: "changed",
        files: { version: "2" },
        ran: ["COPY version /v", "RUN echo constant-output > /out"],
      },
    ],
    peer: "docker",
  },
  {
    name: "--no-cache runs everything",
    dockerfile: dockerfile("nocache"),
    files: a,
    again: [
      { name: "without", flags: ["--no-cache"], ran: [own("nocache"), copied, after] },
      { name: "with", ran: [] },
    ],
    peer: "docker",
  },
  {
    name: "--no-cache-filter runs the steps of the named stages",
    dockerfile:
      "FROM busybox AS filtered\nRUN date +%N > /f\nFROM busybox AS kept\nRUN echo kept-stage > /k\nFROM kept\nCOPY --from=filtered /f /f\n",
    again: [
      {
        name: "filtered",
        flags: ["--no-cache-filter", "filtered"],
        ran: ["RUN date +%N > /f", "COPY --from=filtered /f /f"],
      },
    ],
    peer: { none: "because --no-cache-filter came with buildx 0.9" },
  },
  {
    name: "a secret's value does not count, its declaration does",
    dockerfile:
      "FROM busybox\nRUN --mount=type=secret,id=sec test -e /run/secrets/sec; echo secret-step > /x\n",
    left: ["/run/", "/run/secrets/", "/run/secrets/sec"],
    beside: { s: { one: "1", two: "2" } },
    flags: ["--secret", "id=sec,src=$$DIR/s/one"],
    again: [{ name: "another value", flags: ["--secret", "id=sec,src=$$DIR/s/two"], ran: [] }],
    peer: "docker",
  },
  {
    name: "a bind mount's content counts",
    dockerfile: "FROM busybox\nRUN --mount=target=/src cat /src/bound > /b\n",
    left: ["/src/"],
    files: { bound: "1" },
    again: [
      { name: "the same", ran: [] },
      { name: "changed", files: { bound: "2" }, ran: ["RUN --mount=target=/src cat /src/bound > /b"] },
    ],
    peer: "docker",
  },
  {
    name: "--chown and --chmod count",
    dockerfile: "FROM busybox\nCOPY owned /o\n",
    files: { owned: "owned" },
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
      { name: "another", dockerfile: "FROM busybox\nCOPY <<E /h\ntwo-heredoc\nE\n", ran: ["COPY <<E /h"] },
    ],
    peer: noHeredocs,
  },
  {
    name: "COPY --link is a hit on another base",
    dockerfile: "FROM busybox\nRUN echo base-one > /b\nCOPY --link linked /l\n",
    files: { linked: "linked" },
    again: [
      {
        name: "another base",
        dockerfile: "FROM busybox\nRUN echo base-two > /b\nCOPY --link linked /l\n",
        ran: ["RUN echo base-two > /b"],
      },
    ],
    peer: { none: "because docker 20.10's frontend has no --link" },
  },
];
