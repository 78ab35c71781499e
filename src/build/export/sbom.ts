/** The packages of a result's root filesystem as an SPDX 2.3 document (spdx.github.io/spdx-spec/v2.3). */
import packageJson from "../../../package.json" with { type: "json" };
import { digestOf } from "../../oci/digest.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, syscall } from "../../sys/libc.ts";
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../../sys/stat.ts";
import type { BuildTarget, Layer } from "../types.ts";
import { iso } from "./config.ts";
import type { OutputJob } from "./export-result.ts";
import { type FoundPackage, finderOf, type OsRelease, parseOsRelease } from "./sbom-packages.ts";
import { type TreeEntry, walkTree, withRootfs } from "./tree.ts";

/** Of one file: a package database of a very large distribution has a few dozen MiB. */
const maxFile = 64 << 20;
const maxPackages = 200_000;

/** Looks through every directory for the files package managers leave. */
export async function sbom(
  job: OutputJob,
  target: BuildTarget,
  layers: readonly Layer[],
): Promise<Record<string, unknown>> {
  const packages =
    (await withRootfs(job.context, layers, (root) => findPackages(root, job.request.signal))) ?? [];
  const time = job.epoch === undefined ? new Date() : new Date(job.epoch * 1000);
  const name = job.request.tags[0] ?? "image";
  return spdxDocument(name, packages, time, `${target.platform.os}/${target.platform.architecture}`);
}

/** Packages in the order of their paths, without repetitions. */
export async function findPackages(rootFd: number, signal?: AbortSignal): Promise<FoundPackage[]> {
  const texts: { path: string; text: string }[] = [];
  let os: OsRelease = { id: "linux", versionId: "" };
  await walkTree(
    rootFd,
    {
      enter(entry) {
        if ((entry.stat.mode & S_IFMT) === S_IFDIR)
          return entry.path !== "proc" && entry.path !== "sys" && entry.path !== "dev";
        if ((entry.stat.mode & S_IFMT) !== S_IFREG || entry.stat.size > maxFile) return;
        if (entry.path === "usr/lib/os-release" || entry.path === "etc/os-release")
          os = parseOsRelease(readText(entry));
        else if (finderOf(entry.path)) texts.push({ path: entry.path, text: readText(entry) });
      },
    },
    signal,
  );
  const found = new Map<string, FoundPackage>();
  for (const { path, text } of texts)
    for (const one of finderOf(path)!(text, path, os)) {
      const key = `${one.purl} ${one.manager === "npm" || one.manager === "pypi" ? path : ""}`;
      if (found.size < maxPackages && !found.has(key)) found.set(key, one);
    }
  return [...found.values()];
}

function readText({ dirFd, name, stat }: TreeEntry): string {
  const fd = syscall("openat", [dirFd, cString(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC], name);
  try {
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = syscall("read", [fd, bytes.subarray(length), bytes.length - length], name);
      if (read === 0) break;
      length += read;
    }
    return bytes.toString("utf8", 0, length);
  } finally {
    rawSyscall("close", fd);
  }
}

/** Characters an SPDX id may have; a number keeps those apart that would become the same. */
const spdxId = (one: FoundPackage, at: number): string =>
  `SPDXRef-Package-${one.manager}-${one.name.replace(/[^A-Za-z0-9.-]/g, "-")}-${at}`;

export function spdxDocument(
  name: string,
  packages: readonly FoundPackage[],
  created: Date,
  platform: string,
): Record<string, unknown> {
  const ids = packages.map(spdxId);
  const root = "SPDXRef-DocumentRoot-Image";
  const unique = digestOf(JSON.stringify([name, platform, packages])).slice("sha256:".length, 40);
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name,
    documentNamespace: `https://corten.invalid/spdx/${encodeURIComponent(name)}-${unique}`,
    creationInfo: {
      created: iso(created),
      creators: ["Organization: Corten", `Tool: corten-${packageJson.version}`],
    },
    documentDescribes: [root],
    packages: [
      {
        SPDXID: root,
        name,
        versionInfo: platform,
        downloadLocation: "NOASSERTION",
        filesAnalyzed: false,
        primaryPackagePurpose: "CONTAINER",
      },
      ...packages.map((one, at) => ({
        SPDXID: ids[at],
        name: one.name,
        versionInfo: one.version,
        downloadLocation: "NOASSERTION",
        filesAnalyzed: false,
        sourceInfo: `found in /${Buffer.from(one.path, "latin1").toString("utf8")}`,
        ...(one.supplier === undefined ? {} : { supplier: `Person: ${one.supplier}` }),
        licenseConcluded: "NOASSERTION",
        licenseDeclared: one.license ?? "NOASSERTION",
        copyrightText: "NOASSERTION",
        externalRefs: [
          { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: one.purl },
        ],
      })),
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: root },
      ...ids.map((id) => ({ spdxElementId: root, relationshipType: "CONTAINS", relatedSpdxElement: id })),
    ],
  };
}
