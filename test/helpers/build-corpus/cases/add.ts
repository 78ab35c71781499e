/** ADD: archives, downloads, git repositories. */
import { tarOf } from "../../../../src/archive/tar/make.ts";
import type { Case } from "../case.ts";
import { packed, sampleTar } from "../world.ts";

const unpacked = {
  "/o/": "755",
  "/o/top/": "755",
  "/o/top/a": "640 7:8 =packed",
  "/o/top/link": "-> a",
  "/o/top/same": "same as /o/top/a",
};
const noGit = { none: "because docker 20.10's frontend and buildah 1.28 have no ADD of repositories" };

export const add: Case[] = [
  ...(["tar", "gz", "bz2", "xz", "zst"] as const).map(
    (form): Case => ({
      name: `ADD unpacks an archive of the context: ${form}`,
      dockerfile: "FROM busybox\nADD pack /o/\n",
      files: { pack: { data: packed(form) } },
      tree: unpacked,
      times: { "/o/top/": "T", "/o/top/a": "T", "/o/top/link": "T", "/o/top/same": "T" },
      peer: form === "zst" ? "buildah" : "docker",
    }),
  ),
  {
    name: "ADD of archives beside other files, by a wildcard",
    dockerfile: "FROM busybox\nADD *.tar plain d /o/\n",
    files: { "x.tar": { data: packed("tar") }, plain: "p", "d/in.tar": { data: packed("tar") } },
    tree: { ...unpacked, "/o/plain": "644 =p", "/o/in.tar": shown(644, sampleTar) },
    peer: "docker",
  },
  {
    name: "ADD with --chown of an archive",
    dockerfile: "FROM busybox\nADD --chown=3:4 pack /o/\n",
    files: { pack: { data: packed("gz") } },
    tree: {
      "/o/": "755 3:4",
      "/o/top/": "755 3:4",
      "/o/top/a": "640 3:4 =packed",
      "/o/top/link": "-> a 3:4",
      "/o/top/same": "same as /o/top/a",
    },
    peer: {
      with: "docker",
      but: { tree: "docker 20.10 leaves the owners of an archive" },
    },
  },
  {
    name: "COPY does not unpack, nor does ADD what only has the name of an archive",
    dockerfile: "FROM busybox\nCOPY pack.tar /c.tar\nADD no.tar.gz /n/\n",
    files: { "pack.tar": { data: packed("tar") }, "no.tar.gz": "no archive" },
    tree: { "/c.tar": shown(644, sampleTar), "/n/": "755", "/n/no.tar.gz": "644 =no archive" },
    peer: "docker",
  },
  {
    name: "ADD --unpack=false keeps the archive",
    dockerfile: "FROM busybox\nADD --unpack=false pack.tar /\n",
    files: { "pack.tar": { data: packed("tar") } },
    tree: { "/pack.tar": shown(644, sampleTar) },
    peer: { none: "because docker 20.10 and buildah 1.28 do not have --unpack" },
  },
  {
    name: "ADD over what is there: directories are kept, files replaced",
    images: {
      "filled:1": "FROM busybox\nRUN mkdir -p /o/top && echo old > /o/top/a && echo keep > /o/top/keep\n",
    },
    dockerfile: "FROM filled:1\nADD pack /o\n",
    files: { pack: { data: packed("gz") } },
    tree: { ...unpacked, "/o/top/keep": "644 =keep\n" },
    peer: "docker",
  },
  {
    name: "ADD of plain files and directories is COPY",
    dockerfile: "FROM busybox\nADD f d /o/\nADD f /new\n",
    files: { f: "f", "d/x": "x" },
    tree: { "/new": "644 =f", "/o/": "755", "/o/f": "644 =f", "/o/x": "644 =x" },
    peer: ["docker", "buildah"],
  },
  {
    name: "ADD downloads, with the server's time, for its owner only",
    dockerfile:
      "FROM busybox\nADD $$HTTP/file.txt /o/\nADD $$HTTP/file.txt /named\nADD --chown=3:4 $$HTTP/file.txt /c\n",
    tree: {
      "/c": "600 3:4 =downloaded",
      "/named": "600 =downloaded",
      "/o/": "755",
      "/o/file.txt": "600 =downloaded",
    },
    times: { "/c": "T", "/named": "T", "/o/file.txt": "T" },
    layers: 3,
    peer: "docker",
  },
  {
    name: "a downloaded archive is not unpacked",
    dockerfile: "FROM busybox\nADD $$HTTP/dir/pack.tar.gz /\nADD --chmod=644 $$HTTP/file.txt /m\n",
    tree: { "/m": "644 =downloaded", "/pack.tar.gz": shown(600, packed("gz")) },
    peer: { with: "docker", but: { tree: "docker 20.10 leaves out --chmod of a download" } },
  },
  {
    name: "ADD --checksum that is right",
    dockerfile: "FROM busybox\nADD --checksum=sha256:$$SHA $$HTTP/file.txt /\n",
    tree: { "/file.txt": "600 =downloaded" },
    peer: { none: "because docker 20.10 and buildah 1.28 do not have --checksum" },
  },
  {
    name: "ADD --checksum that is wrong",
    dockerfile: `FROM busybox\nADD --checksum=sha256:${"0".repeat(64)} $$HTTP/file.txt /\n`,
    error: ["digest mismatch", "Dockerfile:2"],
    peer: { none: "because docker 20.10 and buildah 1.28 do not have --checksum" },
  },
  {
    name: "ADD of something that the server does not have",
    dockerfile: "FROM busybox\nADD $$HTTP/nothing /\n",
    error: ["404", "Dockerfile:2"],
    peer: "docker",
  },
  {
    name: "ADD of a repository: its files without .git, at a tag, a subdirectory",
    dockerfile: "FROM busybox\nADD $$HTTP/project.git#v1 /r\nADD $$HTTP/project.git#main:sub /s\n",
    tree: {
      "/r/": "755",
      "/r/Dockerfile": "644 =FROM busybox\nCOPY one.txt /from-git\n",
      "/r/one.txt": "644 =first\n",
      "/r/run": "755 =#!/bin/sh\n",
      "/r/sub/": "755",
      "/r/sub/Dockerfile": "644 =FROM busybox\nCOPY two.txt /from-sub\n",
      "/r/sub/two.txt": "644 =second\n",
      "/s/": "755",
      "/s/Dockerfile": "644 =FROM busybox\nCOPY two.txt /from-sub\n",
      "/s/two.txt": "644 =second\n",
    },
    peer: noGit,
  },
  {
    name: "a repository as the context, at a commit",
    dockerfile: "",
    flags: [],
    remote: "$$HTTP/project.git#$$COMMIT",
    tree: { "/from-git": "644 =first\n" },
    peer: "docker",
  },
  {
    name: "a directory of a repository as the context, of a branch",
    dockerfile: "",
    remote: "$$HTTP/project.git#main:sub",
    tree: { "/from-sub": "644 =second\n" },
    peer: { none: "because docker 20.10's BuildKit has no subdirectories of repositories" },
  },
  {
    name: "ADD --keep-git-dir keeps the repository, at its commit",
    dockerfile:
      "FROM busybox\nADD --keep-git-dir=true $$HTTP/project.git#v1 /r\nRUN cat /r/.git/HEAD > /head; cp /r/one.txt /one; rm -r /r\n",
    tree: { "/head": "644 =$$COMMIT\n", "/one": "644 =first\n" },
    peer: noGit,
  },
  {
    name: "an archive's paths cannot leave the destination, through links neither",
    dockerfile: "FROM busybox\nADD trick /o/\n",
    files: {
      trick: {
        data: tarOf(
          { path: "/abs", data: "abs", mode: 0o644 },
          { path: "etc/", mode: 0o755 },
          { path: "out", type: "symlink", linkPath: "/etc" },
          { path: "out/evil", data: "evil", mode: 0o644 },
        ),
      },
    },
    tree: {
      "/o/": "755",
      "/o/abs": "644 =abs",
      "/o/etc/": "755",
      "/o/etc/evil": "644 =evil",
      "/o/out": "-> /etc",
    },
    peer: "docker",
  },
  {
    name: "an archive with a path that climbs out is refused",
    dockerfile: "FROM busybox\nADD trick /o/\n",
    files: { trick: { data: tarOf({ path: "../../climbed", data: "x", mode: 0o644 }) } },
    error: "Dockerfile:2",
    peer: { none: "because docker 20.10 cuts the dots away and unpacks it; ours refuses on purpose" },
  },
];

function shown(mode: number, data: Uint8Array): string {
  const digest = new Bun.CryptoHasher("sha256").update(data).digest("hex");
  return `${mode} sha256:${digest.slice(0, 16)} ${data.length}`;
}
