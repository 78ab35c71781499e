/** The lowest layer: what every image has and no package brings, as distroless has it. */
import type { Descriptor } from "../oci/image-spec.ts";
import { directory, LayerWriter, regularFile, symlink } from "./layer-writer.ts";
import type { ContentSink } from "./types.ts";

/** Which distribution the packages are of, for /etc/os-release. */
export interface Distribution {
  id: string;
  name: string;
  codename: string;
  versionId?: string;
}

/** Part of the cache's key of the base layer. */
export const baseVersion = 1;

/** The static users of Debian (base-passwd), and distroless' `nonroot`: name, uid, gid, home, shell. */
const users = `root 0 0 /root /bin/sh
daemon 1 1 /usr/sbin
bin 2 2 /bin
sys 3 3 /dev
sync 4 65534 /bin
games 5 60 /usr/games
man 6 12 /var/cache/man
lp 7 7 /var/spool/lpd
mail 8 8 /var/mail
news 9 9 /var/spool/news
uucp 10 10 /var/spool/uucp
proxy 13 13 /bin
www-data 33 33 /var/www
backup 34 34 /var/backups
list 38 38 /var/list
irc 39 39 /run/ircd
_apt 42 65534 /nonexistent
nobody 65534 65534 /nonexistent
nonroot 65532 65532 /home/nonroot`;

const groups =
  "root:0 daemon:1 bin:2 sys:3 adm:4 tty:5 disk:6 lp:7 mail:8 news:9 uucp:10 man:12 proxy:13 kmem:15 dialout:20 " +
  "fax:21 voice:22 cdrom:24 floppy:25 tape:26 sudo:27 audio:29 dip:30 www-data:33 backup:34 operator:37 list:38 " +
  "irc:39 src:40 shadow:42 utmp:43 video:44 sasl:45 plugdev:46 staff:50 games:60 users:100 nogroup:65534 " +
  "nonroot:65532";

const directories: ReadonlyArray<[path: string, mode?: number, owner?: number]> = [
  ["dev"],
  ["etc"],
  ["home"],
  ["home/nonroot", 0o700, 65532],
  ["mnt"],
  ["opt"],
  ["proc"],
  ["root", 0o700],
  ["run"],
  ["run/lock", 0o1777],
  ["srv"],
  ["sys"],
  ["tmp", 0o1777],
  ["usr"],
  ["usr/bin"],
  ["usr/lib"],
  ["usr/local"],
  ["usr/local/bin"],
  ["usr/local/lib"],
  ["usr/local/sbin"],
  ["usr/sbin"],
  ["usr/share"],
  ["var"],
  ["var/cache"],
  ["var/lib"],
  ["var/lib/dpkg"],
  ["var/lib/dpkg/status.d"],
  ["var/log"],
  ["var/spool"],
  ["var/tmp", 0o1777],
];

/** Where the ABI puts the dynamic loader outside of /lib. */
const loaderDirectory: Record<string, string> = { amd64: "lib64", ppc64el: "lib64", loong64: "lib64" };

function osRelease({ id, name, codename, versionId }: Distribution): string {
  const version = versionId ? `${versionId} (${codename})` : codename;
  const lines = [
    `PRETTY_NAME="${name} ${version}"`,
    `NAME="${name}"`,
    ...(versionId ? [`VERSION_ID="${versionId}"`, `VERSION="${version}"`] : []),
    `VERSION_CODENAME=${codename}`,
    `ID=${id}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** Composes the base layer for a Debian architecture and puts it into the sink. */
export async function composeBase(
  distribution: Distribution,
  architecture: string,
  sink: ContentSink,
  cacheDir: string,
): Promise<Descriptor> {
  await using layer = await LayerWriter.create(cacheDir);
  const file = async (path: string, text: string, mode = 0o644) => {
    const body = Buffer.from(text);
    await layer.add(regularFile(path, mode, 0, body.length), body);
  };
  for (const [path, mode = 0o755, owner = 0] of directories)
    await layer.add(directory(path, mode, 0, owner, owner));
  const loader = loaderDirectory[architecture];
  for (const name of ["bin", "lib", ...(loader ? [loader] : []), "sbin"]) {
    await layer.add(directory(`usr/${name}`, 0o755, 0));
    await layer.add(symlink(name, `usr/${name}`, 0));
  }
  await layer.add(symlink("var/run", "/run", 0));
  await layer.add(symlink("var/lock", "/run/lock", 0));
  const passwd = users.split("\n").map((line) => {
    const [name, uid, gid, home, shell = "/usr/sbin/nologin"] = line.split(" ");
    return `${name}:x:${uid}:${gid}:${name}:${home}:${shell}\n`;
  });
  await file("etc/passwd", passwd.join(""));
  const group = groups.split(" ").map((entry) => entry.replace(":", ":x:"));
  await file("etc/group", group.map((entry) => `${entry}:\n`).join(""));
  await file("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n");
  await file("usr/lib/os-release", osRelease(distribution));
  await layer.add(symlink("etc/os-release", "../usr/lib/os-release", 0));
  if (distribution.id === "debian" && distribution.versionId)
    await file("etc/debian_version", `${distribution.versionId}\n`);
  return await layer.finish(sink);
}
