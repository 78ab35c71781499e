// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Dockerfiles' own variables.
/** ARG: scopes, defaults, values from outside, the platform's own; FROM's forms; stages. */
import type { Case } from "../case.ts";

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const machine = process.arch === "arm64" ? "arm64" : "amd64";
const foreign = machine === "amd64" ? "arm64" : "amd64";

export const args: Case[] = [
  {
    name: "ARG before FROM names the image and comes into a stage only when asked for",
    dockerfile: "ARG base=busybox\nARG tag=latest\nFROM ${base}:$tag\nENV A=x$base\nARG base\nENV B=x$base\n",
    config: { Env: [path, "A=x", "B=xbusybox"] },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "--build-arg goes before the default, also in front of FROM",
    dockerfile:
      "ARG what=nothing\nFROM busybox AS nothing\nFROM busybox AS some\nARG what=default\nLABEL w=$what\nFROM $what\nARG extra=e\nLABEL x=$extra\n",
    flags: ["--build-arg", "what=some", "--build-arg", "extra="],
    config: { Labels: { w: "some", x: "" } },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "an ARG counts from its line on, also in stages built on its own",
    dockerfile: "FROM busybox AS one\nLABEL before=$v\nARG v=1\nLABEL after=$v\nFROM one\nLABEL next=x$v\n",
    config: { Labels: { before: "", after: "1", next: "x1" } },
    tree: {},
    peer: "docker",
  },
  {
    name: "of ENV and ARG with the same name the later one counts for what follows",
    dockerfile:
      "FROM busybox\nENV v=env\nARG v=arg\nLABEL v=$v\nRUN echo $v > /v\nARG w=arg\nENV w=env\nLABEL w=$w\nRUN echo $w > /w\n",
    flags: ["--build-arg", "v=flag", "--build-arg", "w=flag"],
    config: { Env: [path, "v=env", "w=env"], Labels: { v: "flag", w: "env" } },
    tree: { "/v": "644 =flag\n", "/w": "644 =env\n" },
    peer: "docker",
  },
  {
    name: "several ARGs in one instruction, a later one made of an earlier one",
    dockerfile: "FROM busybox\nARG a=1 b=${a}2\nARG c=$b$a\nLABEL l=$a-$b-$c\n",
    config: { Labels: { l: "1-12-121" } },
    tree: {},
    peer: {
      none: "because with docker 20.10 and buildah 1.28 an ARG does not see those of its own instruction",
    },
  },
  {
    name: "an ARG without a value from the environment of the caller",
    dockerfile: "FROM busybox\nARG outside\nARG other=d\nLABEL o=$outside p=$other\n",
    flags: ["--build-arg", "outside", "--build-arg", "other"],
    env: { outside: "from-env" },
    config: { Labels: { o: "from-env", p: "d" } },
    tree: {},
    peer: "docker",
  },
  {
    name: "RUN sees its ARGs as variables, and they are not in the image",
    dockerfile: 'FROM busybox\nARG seen=yes\nARG unset\nRUN echo "$seen ${unset-none}" > /a\n',
    tree: { "/a": "644 =yes none\n" },
    peer: ["docker", "buildah"],
  },
  {
    name: "predefined proxies need no ARG and are not in the image",
    dockerfile: 'FROM busybox\nRUN echo "$HTTP_PROXY $no_proxy" > /a\n',
    flags: ["--build-arg", "HTTP_PROXY=http://p:1", "--build-arg", "no_proxy=x,y"],
    tree: { "/a": "644 =http://p:1 x,y\n" },
    peer: ["docker"],
  },
  {
    name: "the platform's arguments are there when asked for",
    dockerfile:
      "FROM --platform=$BUILDPLATFORM busybox\nLABEL none=x$TARGETARCH\nARG TARGETARCH\nARG TARGETOS\nARG TARGETPLATFORM\nARG BUILDPLATFORM BUILDARCH TARGETVARIANT\nLABEL a=$TARGETARCH o=$TARGETOS p=$TARGETPLATFORM b=$BUILDPLATFORM c=$BUILDARCH v=x$TARGETVARIANT\n",
    config: {
      Labels: {
        none: "x",
        a: machine,
        o: "linux",
        p: `linux/${machine}`,
        b: `linux/${machine}`,
        c: machine,
        v: "x",
      },
    },
    tree: {},
    peer: "docker",
  },
  {
    name: "--platform of another machine, where nothing is run",
    dockerfile:
      "FROM scratch\nARG TARGETPLATFORM\nARG BUILDARCH\nCOPY f /f\nLABEL t=$TARGETPLATFORM b=$BUILDARCH\n",
    files: { f: "f" },
    flags: ["--platform", `linux/${foreign}`],
    scratch: true,
    config: { Labels: { t: `linux/${foreign}`, b: machine }, Env: [path] },
    tree: { "/f": "644 =f" },
    layers: 1,
    peer: "docker",
  },
  {
    name: "TARGETSTAGE's name is known to stages",
    dockerfile: "FROM busybox AS one\nARG TARGETSTAGE\nLABEL s=$TARGETSTAGE\nFROM busybox\n",
    flags: ["--target", "one"],
    config: { Labels: { s: "one" } },
    tree: {},
    peer: { none: "because docker 20.10 and buildah 1.28 do not have TARGETSTAGE" },
  },
  {
    name: "a stage on a stage, copied from by name and by number, and one that nothing needs",
    dockerfile:
      "FROM busybox AS base\nLABEL l=1\nFROM busybox AS unneeded\nRUN false\nFROM base AS Made\nCOPY f /made\nFROM base\nCOPY --from=made /made /by-name\nCOPY --from=2 /made /by-number\n",
    files: { f: "made" },
    config: { Labels: { l: "1" } },
    tree: { "/by-name": "644 =made", "/by-number": "644 =made" },
    layers: 2,
    peer: "docker",
  },
  {
    name: "--target ends at a stage",
    dockerfile: "FROM busybox AS one\nLABEL l=1\nFROM one AS two\nLABEL l=2\nRUN false\n",
    flags: ["--target", "one"],
    config: { Labels: { l: "1" } },
    tree: {},
    peer: ["docker", "buildah"],
  },
  {
    name: "FROM scratch has nothing but a PATH",
    dockerfile: "FROM scratch\nCOPY f /\n",
    files: { f: "f" },
    scratch: true,
    config: { Env: [path] },
    tree: { "/f": "644 =f" },
    layers: 1,
    peer: "docker",
  },
  {
    name: "an image from scratch without a layer",
    dockerfile: "FROM scratch\nLABEL a=b\n",
    scratch: true,
    config: { Env: [path], Labels: { a: "b" } },
    tree: {},
    layers: 0,
    peer: { none: "because docker 20.10 does not save an image without layers" },
  },
  {
    name: "FROM an image of the registry by tag and a stage named like an image",
    dockerfile: "FROM $$REGISTRY/busybox:1 AS busybox\nCOPY f /f\nFROM busybox\nCOPY f /g\n",
    files: { f: "f" },
    tree: { "/f": "644 =f", "/g": "644 =f" },
    layers: 2,
    peer: "docker",
  },
  {
    name: "what the base image says is inherited, ENV of the same name replaced",
    images: {
      "inherited:1":
        'FROM busybox\nENV A=1 B=2\nLABEL a=1 b=2\nWORKDIR /w\nUSER www-data\nEXPOSE 1\nVOLUME /v\nSTOPSIGNAL 3\nSHELL ["/bin/ash", "-c"]\nHEALTHCHECK CMD x\nENTRYPOINT ["e"]\nCMD ["c"]\n',
    },
    dockerfile: "FROM inherited:1\nENV B=3\nLABEL b=3\nEXPOSE 2\nVOLUME /u\nWORKDIR sub\n",
    config: {
      Env: [path, "A=1", "B=3"],
      Labels: { a: "1", b: "3" },
      WorkingDir: "/w/sub",
      User: "www-data",
      ExposedPorts: { "1/tcp": {}, "2/tcp": {} },
      Volumes: { "/v": {}, "/u": {} },
      StopSignal: "3",
      Shell: ["/bin/ash", "-c"],
      Healthcheck: { Test: ["CMD-SHELL", "x"] },
      Entrypoint: ["e"],
      Cmd: ["c"],
    },
    tree: { "/w/": "755", "/w/sub/": "755 33:33" },
    layers: 2,
    peer: "docker",
  },
  {
    name: "--target by number",
    dockerfile: "FROM busybox\nLABEL l=0\nFROM busybox\nLABEL l=1\nFROM busybox\nRUN false\n",
    flags: ["--target", "1"],
    config: { Labels: { l: "1" } },
    peer: "buildah",
  },
  {
    name: "FROM --platform of another machine, and its variables",
    dockerfile: `FROM --platform=linux/${foreign} scratch AS one\nCOPY f /f\nFROM scratch\nARG TARGETARCH\nCOPY --from=one /f /$TARGETARCH\n`,
    files: { f: "f" },
    scratch: true,
    tree: { [`/${machine}`]: "644 =f" },
    peer: "docker",
  },
  {
    name: "a lint that counts as an error",
    dockerfile: "# check=error=true\nFROM busybox as lower\nRUN true\n",
    error: "lint violation found",
    peer: { none: "because docker 20.10 and buildah 1.28 do not have check=" },
  },
];
