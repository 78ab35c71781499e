/** Instructions that say how the image is run. */
import type { Case } from "../case.ts";

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const second = 1_000_000_000;

export const settings: Case[] = [
  {
    name: "CMD in both forms, the last one counts",
    dockerfile: 'FROM busybox\nCMD ["a"]\nCMD echo $HOME && true\n',
    config: { Cmd: ["/bin/sh", "-c", "echo $HOME && true"] },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "ENTRYPOINT drops the base image's CMD, but not one of this file",
    dockerfile: 'FROM busybox AS one\nENTRYPOINT ["e"]\nFROM busybox\nCMD ["c"]\nENTRYPOINT ["e", "f"]\n',
    config: { Cmd: ["c"], Entrypoint: ["e", "f"] },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "ENTRYPOINT without a CMD leaves none",
    dockerfile: 'FROM busybox\nENTRYPOINT ["e"]\n',
    config: { Cmd: [], Entrypoint: ["e"] },
    tree: {},
    peer: ["docker"],
  },
  {
    name: "empty lists take ENTRYPOINT and CMD away",
    dockerfile: 'FROM busybox AS one\nENTRYPOINT ["e"]\nCMD ["c"]\nFROM one\nENTRYPOINT []\nCMD []\n',
    config: { Cmd: [] },
    tree: {},
    peer: "docker",
  },
  {
    name: "SHELL is what shell forms are run with from there on",
    dockerfile: 'FROM busybox\nSHELL ["/bin/ash", "-e", "-c"]\nRUN echo $- > /a\nCMD x\nENTRYPOINT y\n',
    config: {
      Shell: ["/bin/ash", "-e", "-c"],
      Cmd: ["/bin/ash", "-e", "-c", "x"],
      Entrypoint: ["/bin/ash", "-e", "-c", "y"],
    },
    tree: { "/a": "644 =ce\n" },
    peer: ["docker"],
  },
  {
    name: "EXPOSE: protocols, ranges, several at once",
    dockerfile: "FROM busybox\nEXPOSE 80 53/udp 9000-9002/tcp\nEXPOSE 80/tcp 7/sctp\n",
    config: {
      ExposedPorts: {
        "80/tcp": {},
        "53/udp": {},
        "9000/tcp": {},
        "9001/tcp": {},
        "9002/tcp": {},
        "7/sctp": {},
      },
    },
    tree: {},
    peer: "docker",
  },
  {
    name: "VOLUME in both forms",
    dockerfile: 'FROM busybox\nVOLUME /a /b\nVOLUME ["/c d", "/e"]\n',
    config: { Volumes: { "/a": {}, "/b": {}, "/c d": {}, "/e": {} } },
    tree: {},
    peer: "docker",
  },
  {
    name: "WORKDIR makes directories that are missing, relative to the one before, owned by the user",
    dockerfile:
      "FROM busybox\nUSER www-data\nWORKDIR /a/b\nWORKDIR c/../d\nWORKDIR ./e/\nWORKDIR /usr\nWORKDIR //x//y\n",
    config: { User: "www-data", WorkingDir: "//x//y" },
    tree: {
      "/a/": "755 33:33",
      "/a/b/": "755 33:33",
      "/a/b/d/": "755 33:33",
      "/a/b/d/e/": "755 33:33",
      "/x/": "755 33:33",
      "/x/y/": "755 33:33",
    },
    layers: 5,
    peer: "docker",
  },
  {
    name: "USER by name, id and group, and RUN runs as it",
    dockerfile:
      "FROM busybox\nRUN mkdir -m 777 /o\nUSER www-data:staff\nRUN id -u > /o/a; id -g >> /o/a; id -G >> /o/a; echo $HOME >> /o/a\nUSER 1234\nRUN id -u > /o/b; id -g >> /o/b; echo $HOME >> /o/b\nUSER nobody\nRUN id -G > /o/c; echo $HOME >> /o/c\n",
    config: { User: "nobody" },
    tree: {
      "/o/": "777",
      "/o/a": "644 33:50 =33\n50\n50\n/var/www\n",
      "/o/b": "644 1234:0 =1234\n0\n/\n",
      "/o/c": "644 65534:65534 =65534 50\n/home\n",
    },
    layers: 4,
    peer: ["docker"],
  },
  {
    name: "STOPSIGNAL by name and number",
    dockerfile: "FROM busybox\nSTOPSIGNAL 9\nSTOPSIGNAL SIGUSR1\n",
    config: { StopSignal: "SIGUSR1" },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "HEALTHCHECK with all its options",
    dockerfile:
      'FROM busybox\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1s --retries=2 CMD ["a", "b"]\n',
    config: {
      Healthcheck: {
        Test: ["CMD", "a", "b"],
        Interval: 300 * second,
        Timeout: 3 * second,
        StartPeriod: second,
        Retries: 2,
      },
    },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "HEALTHCHECK of the shell, and NONE",
    dockerfile: "FROM busybox AS one\nHEALTHCHECK CMD curl x || exit 1\nFROM one\nHEALTHCHECK NONE\n",
    config: { Healthcheck: { Test: ["NONE"] } },
    tree: {},
    peer: "docker",
  },
  {
    name: "HEALTHCHECK of the shell is run by the image's own shell",
    dockerfile: "FROM busybox\nHEALTHCHECK --interval=1m30s CMD test -e /x\n",
    config: { Healthcheck: { Test: ["CMD-SHELL", "test -e /x"], Interval: 90 * second } },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "LABEL in many forms, and labels by flag, which win",
    dockerfile: `FROM busybox\nLABEL a=1 "b c"="d e" com.x.y='z'\nLABEL multi="l1 \\\nl2"\nLABEL a=2 e=\n`,
    flags: ["--label", "a=flag", "--label", "new=x=y", "--label", "bare"],
    config: {
      Labels: { a: "flag", "b c": "d e", "com.x.y": "z", multi: "l1 l2", e: "", new: "x=y", bare: "" },
    },
    tree: {},
    peer: ["docker"],
  },
  {
    name: "ENV in many forms",
    dockerfile: `FROM busybox\nENV A="a b" B=c\\ d C='e' D=\nENV A=again PATH=/x:$PATH\n`,
    config: {
      Env: [
        "PATH=/x:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A=again",
        "B=c d",
        "C=e",
        "D=",
      ],
    },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "MAINTAINER is the author",
    author: "Some One <a@b>",
    dockerfile: "FROM busybox\nMAINTAINER Some One <a@b>\n",
    config: {},
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "ONBUILD is kept and run by the next build, before its own steps, and is not handed on",
    images: {
      "onbuild:1":
        'FROM busybox\nONBUILD ENV A=trigger\nONBUILD COPY f /from-trigger\nONBUILD RUN echo $A > /ran\nONBUILD CMD ["t"]\n',
    },
    dockerfile: "FROM onbuild:1\nENV A=own\nCOPY f /own\n",
    files: { f: "f" },
    config: { Env: [path, "A=own"], Cmd: ["t"] },
    tree: { "/from-trigger": "644 =f", "/own": "644 =f", "/ran": "644 =trigger\n" },
    layers: 3,
    peer: "docker",
  },
  {
    name: "ONBUILD of a stage is run by the stage built on it",
    dockerfile: "FROM busybox AS one\nONBUILD LABEL l=trigger\nFROM one AS two\nFROM two\nLABEL own=1\n",
    config: { Labels: { l: "trigger", own: "1" } },
    tree: {},
    peer: "docker",
  },
  {
    name: "ONBUILD's text is kept as it was written",
    dockerfile: "FROM busybox\nONBUILD run  echo   $x\nONBUILD USER nobody\n",
    config: { OnBuild: ["run  echo   $x", "USER nobody"] },
    tree: {},
    peer: ["docker"],
  },
  {
    name: "HEALTHCHECK --start-interval",
    dockerfile: "FROM busybox\nHEALTHCHECK --start-interval=2s --start-period=1m CMD true\n",
    config: {
      Healthcheck: { Test: ["CMD-SHELL", "true"], StartPeriod: 60 * second, StartInterval: 2 * second },
    },
    peer: { none: "because docker 20.10 and buildah 1.28 do not have --start-interval" },
  },
  {
    name: "what steps write under a VOLUME stays",
    dockerfile: "FROM busybox\nVOLUME /v\nRUN mkdir /v && echo x > /v/x\nVOLUME /v/deep\n",
    config: { Volumes: { "/v": {}, "/v/deep": {} } },
    tree: { "/v/": "755", "/v/x": "644 =x\n" },
    peer: "docker",
  },
  {
    name: "WORKDIR on scratch, from a variable, through a link of the image",
    images: { "worklink:1": "FROM busybox\nRUN mkdir /real && ln -s /real /l\n" },
    dockerfile: "FROM worklink:1\nENV w=/l/in\nWORKDIR $w\nRUN pwd > p\n",
    config: { Env: [path, "w=/l/in"], WorkingDir: "/l/in" },
    tree: { "/l": "-> /real", "/real/": "755", "/real/in/": "755", "/real/in/p": "644 =/real/in\n" },
    peer: "docker",
  },
  {
    name: "WORKDIR, USER and ENV on scratch",
    dockerfile: "FROM scratch\nUSER 5:6\nWORKDIR /a/b\nENV PATH=/mine\n",
    scratch: true,
    config: { Env: ["PATH=/mine"], User: "5:6", WorkingDir: "/a/b" },
    tree: { "/a/": "755 5:6", "/a/b/": "755 5:6" },
    peer: "docker",
  },
  {
    name: "ONBUILD COPY --from an earlier image",
    images: {
      "onbuildfrom:1": "FROM busybox\nONBUILD COPY --from=busybox /etc/group /taken\nONBUILD WORKDIR /w\n",
    },
    dockerfile: "FROM onbuildfrom:1\nRUN pwd > /p\n",
    config: { WorkingDir: "/w" },
    tree: {
      "/p": "644 =/w\n",
      "/taken": "644 =root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nstaff:x:50:nobody\n",
      "/w/": "755",
    },
    peer: "buildah",
  },
];
