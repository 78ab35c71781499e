// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Dockerfiles' own variables.
/** What is refused, with its words and its line. */
import type { Case } from "../case.ts";

const failing = (name: string, dockerfile: string, error: Case["error"], more: Partial<Case> = {}): Case => ({
  name,
  dockerfile,
  error: error!,
  peer: "docker",
  ...more,
});

export const errors: Case[] = [
  failing("an unknown instruction, with the nearest one", "FROM busybox\nCOPPY a b\n", [
    "unknown instruction: COPPY",
    "did you mean COPY?",
    "Dockerfile:2",
    ">>> COPPY a b",
  ]),
  failing("an unknown flag, with the nearest one", "FROM busybox\n\nCOPY --form=x a b\n", [
    "unknown flag: --form",
    "did you mean from?",
    "Dockerfile:3",
  ]),
  failing("nothing but comments", "# nothing\n", ["file with no instructions"]),
  failing("no FROM", "RUN true\n", ["no build stage in current context", "Dockerfile:1"]),
  failing("FROM with too many words", "FROM a b c d\n", [
    "FROM requires either one or three arguments",
    "Dockerfile:1",
  ]),
  failing("an image that is not there", "FROM $$REGISTRY/nothing:1\n", [
    "$$REGISTRY/nothing:1",
    "not found",
    "Dockerfile:1",
  ]),
  failing("an image's name that is none", "FROM Bad_Name:x:y\n", [
    "invalid reference format",
    "Dockerfile:1",
  ]),
  failing("FROM without a name after expansion", "ARG none\nFROM $none\n", [
    "base name ($none) should not be blank",
    "Dockerfile:2",
  ]),
  failing(
    "a source that is not there",
    "FROM busybox\nCOPY a \\\n  nothing /o/\n",
    ['"/nothing": not found', "Dockerfile:2"],
    {
      files: { a: "a" },
    },
  ),
  failing(
    "a stage that does not exist is taken for an image",
    "FROM busybox\nCOPY --from=$$REGISTRY/none /a /b\n",
    ["none", "not found"],
  ),
  failing("a stage copied from itself", "FROM busybox AS one\nCOPY --from=one a b\n", [
    "circular dependency detected on stage: one",
  ]),
  failing(
    "a target that does not exist",
    "FROM busybox AS one\n",
    ['target stage "two" could not be found'],
    {
      flags: ["--target", "two"],
    },
  ),
  failing("two stages of one name are taken, the later counts; a bad name is not", "FROM busybox AS a=b\n", [
    "invalid name for build stage",
    "Dockerfile:1",
  ]),
  failing("ENV without a value", "FROM busybox\nENV a\n", ["ENV must have two arguments", "Dockerfile:2"]),
  failing("ENV with a missing equals sign", "FROM busybox\nENV a=b c\n", [
    'can\'t find = in "c"',
    "Dockerfile:2",
  ]),
  failing("COPY of a URL", "FROM busybox\nCOPY http://127.0.0.1/x /\n", [
    "source can't be a URL for COPY",
    "Dockerfile:2",
  ]),
  failing("COPY with one argument", "FROM busybox\nCOPY a\n", [
    "COPY requires at least two arguments",
    "Dockerfile:2",
  ]),
  failing("COPY out of the context", "FROM busybox\nCOPY ../x /\n", ['"/x": not found', "Dockerfile:2"]),
  failing(
    "--chmod that is no mode",
    "FROM busybox\nCOPY --chmod=9z a /\n",
    ["invalid chmod parameter", "Dockerfile:2"],
    {
      files: { a: "" },
      peer: "buildah",
    },
  ),
  failing(
    "a directory over a file",
    "FROM busybox\nCOPY d /etc/passwd\n",
    ["cannot copy to non-directory", "Dockerfile:2"],
    {
      files: { "d/x": "" },
    },
  ),
  failing(
    "a file over a directory of the image by name",
    "FROM busybox\nCOPY d /\n",
    ["cannot replace", "Dockerfile:2"],
    {
      files: { "d/etc": "file" },
    },
  ),
  failing("an unfinished quote", 'FROM busybox\nENV a="b\n', ["Dockerfile:2"]),
  failing("a substitution that is not closed", "FROM busybox\nENV a=${b\n", ["Dockerfile:2"]),
  failing("a modifier that there is not", "FROM busybox\nENV a=${b@c}\n", [
    "unsupported modifier",
    "Dockerfile:2",
  ]),
  failing("EXPOSE of no port", "FROM busybox\nEXPOSE web\n", ["Dockerfile:2"]),
  failing("EXPOSE of a range that runs backwards", "FROM busybox\nEXPOSE 90-80\n", ["Dockerfile:2"]),
  failing("STOPSIGNAL that is none", "FROM busybox\nSTOPSIGNAL SIGNOPE\n", ["SIGNOPE", "Dockerfile:2"]),
  failing("HEALTHCHECK of an unknown type", "FROM busybox\nHEALTHCHECK FOO x\n", [
    'Unknown type "FOO"',
    "Dockerfile:2",
  ]),
  failing("HEALTHCHECK with a bad duration", "FROM busybox\nHEALTHCHECK --interval=5 CMD x\n", [
    "missing unit in duration",
    "Dockerfile:2",
  ]),
  failing("HEALTHCHECK NONE with arguments", "FROM busybox\nHEALTHCHECK NONE x\n", [
    "HEALTHCHECK NONE takes no arguments",
    "Dockerfile:2",
  ]),
  failing("SHELL not as a list", "FROM busybox\nSHELL /bin/sh\n", [
    "SHELL requires the arguments to be in JSON form",
    "Dockerfile:2",
  ]),
  failing("ONBUILD of ONBUILD and of FROM", "FROM busybox\nONBUILD ONBUILD RUN x\n", [
    "Chaining ONBUILD via",
    "Dockerfile:2",
  ]),
  failing("ONBUILD FROM", "FROM busybox\nONBUILD FROM busybox\n", [
    "FROM isn't allowed as an ONBUILD trigger",
    "Dockerfile:2",
  ]),
  failing("VOLUME without a path", "FROM busybox\nVOLUME []\n", ["VOLUME", "Dockerfile:2"]),
  failing("WORKDIR without a path", "FROM busybox\nWORKDIR\n", [
    "WORKDIR requires exactly one argument",
    "Dockerfile:2",
  ]),
  failing("a mount's type that there is not", "FROM busybox\nRUN --mount=type=nope,target=/x true\n", [
    "unsupported mount type",
    "Dockerfile:2",
  ]),
  failing("a mount without a target", "FROM busybox\nRUN --mount=type=cache true\n", [
    "target",
    "Dockerfile:2",
  ]),
  failing(
    "a bind mount of something that is not there",
    "FROM busybox\nRUN --mount=type=bind,source=none,target=/x true\n",
    ["none", "Dockerfile:2"],
  ),
  failing("a heredoc without an end", "FROM busybox\nCOPY <<E /f\nx\n", ["unterminated heredoc"], {
    peer: { none: "because docker 20.10's frontend has no heredocs" },
  }),
  failing("a NUL byte in the Dockerfile", "FROM busybox\nRUN a\0b\n", [], {
    peer: "docker",
  }),
  failing(
    "a frontend that is another one's",
    "# syntax=example.com/other:1\nFROM busybox\n",
    ["frontend example.com/other:1 cannot be run"],
    {
      peer: { none: "because docker 20.10 would look for it on the network" },
    },
  ),
];
