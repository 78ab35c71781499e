/**
 * A real systemd as the first process of a PID namespace, with cgroups, mounts, network and host name of its own: it sees
 * and changes nothing of the machine's. What it manages are cgroups below the test's own.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cgroupDirectoriesOf,
  cgroupLayout,
  makeCgroup,
  makeCpuset,
  removeCgroup,
} from "../../src/sys/cgroup/index.ts";
import { corten, until } from "./engine.ts";

export const systemdProgram = "/lib/systemd/systemd";

/** `hybrid` has this machine's v1 controllers and a v2 tree for systemd; `unified` is a v2 tree alone. */
export type SystemdLayout = "hybrid" | "unified";

/** Runs `script name` as a service of such a systemd and throws with its output unless it exits with 0. */
export async function underSystemd(script: string, name: string, layout: SystemdLayout): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "corten-systemd-"));
  const groups = makeCgroups();
  try {
    writeFiles(directory, script, name, layout);
    const joins = groups.map(({ path }) => `echo $$ >'${path}/cgroup.procs'`).join("\n");
    const systemd = Bun.spawn(
      [
        "/bin/sh",
        "-ec",
        `${joins}\nexec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts --net --propagation private /bin/sh -e '${directory}/inside'`,
      ],
      { stdio: ["ignore", Bun.file(join(directory, "log")), Bun.file(join(directory, "log"))] },
    );
    const status = join(directory, "status");
    try {
      await until(
        "the service under systemd",
        () => existsSync(status) || systemd.exitCode !== null || systemd.signalCode !== null,
        100,
      );
    } finally {
      // Its child, the namespace's first process, gets the same signal, and every process in there with it.
      systemd.kill("SIGKILL");
      await systemd.exited;
    }
    const text = (file: string) =>
      existsSync(join(directory, file)) ? readFileSync(join(directory, file), "utf8") : "";
    if (text("status").trim() !== "0")
      throw new Error(
        `under systemd: status ${text("status").trim() || "unknown"}\n${text("output")}\n${text("log")}`,
      );
  } finally {
    for (const { path } of groups) await removeCgroup(path);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A cgroup of our own in each hierarchy, which is the root of what is seen inside. */
function makeCgroups(): { controller: string; path: string }[] {
  const name = `corten-systemd-${process.pid}-${Date.now().toString(36)}`;
  return Object.entries(cgroupDirectoriesOf(cgroupLayout(), process.pid)).map(([controller, own]) => {
    const path = join(own, name);
    if (controller === "cpuset") makeCpuset(path);
    else makeCgroup(path);
    return { controller, path };
  });
}

function writeFiles(directory: string, script: string, name: string, layout: SystemdLayout): void {
  const units = join(directory, "units");
  mkdirSync(units);
  mkdirSync(join(directory, "generators"));
  writeFileSync(
    join(units, "main.target"),
    "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=job.service\n",
  );
  writeFileSync(
    join(units, "job.service"),
    `[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh '${directory}/job'\n`,
  );
  const environment = {
    ...process.env,
    TMPDIR: directory,
    CORTEN_BIN: corten.length === 1 ? corten[0] : undefined,
  };
  const exports = Object.entries(environment)
    .filter(([key, value]) => value !== undefined && /^\w+$/.test(key))
    .map(([key, value]) => `export ${key}=${quote(value!)}`);
  writeFileSync(
    join(directory, "job"),
    [
      ...exports,
      `cd ${quote(process.cwd())}`,
      `${quote(process.execPath)} ${quote(script)} ${quote(name)} ${layout} >'${directory}/output' 2>&1`,
      `echo $? >'${directory}/status.new'`,
      `mv '${directory}/status.new' '${directory}/status'`,
      "",
    ].join("\n"),
  );
  writeFileSync(join(directory, "inside"), inside(directory, layout));
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** What is done in the new namespaces before systemd takes over: everything it could write to is ours or read-only. */
function inside(directory: string, layout: SystemdLayout): string {
  const mounts = [...cgroupLayout().mounts.keys()];
  const cgroups =
    layout === "unified"
      ? ["mount -t cgroup2 cgroup2 /sys/fs/cgroup"]
      : [
          "mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup",
          ...mounts.map((controller) => {
            const place = `/sys/fs/cgroup/${controller.replace(/^name=/, "") || "unified"}`;
            const make =
              controller === ""
                ? `mount -t cgroup2 cgroup2 ${place}`
                : `mount -t cgroup -o ${controller.startsWith("name=") ? `none,${controller}` : controller} cgroup ${place}`;
            return `mkdir ${place}\n${make}`;
          }),
        ];
  return `
mount -t proc proc /proc
# systemd would raise these for the whole machine. A second proc keeps one that hides nothing, as user namespaces need.
for file in file-max nr_open; do
  mount --bind /proc/sys/fs/$file /proc/sys/fs/$file
  mount -o remount,bind,ro /proc/sys/fs/$file
done
mount --bind /etc /etc
mount -o remount,bind,ro /etc
mount -t tmpfs -o mode=755 tmpfs /run
umount -R /sys/fs/cgroup
# Copies of what other tests have mounted would keep it in use.
awk '$5 ~ "^/(tmp|var|run)/" { print $5 }' /proc/self/mountinfo | sort -r | while read -r place; do umount -l "$place" 2>/dev/null || :; done
mkdir '${directory}/proc'
mount -t proc proc '${directory}/proc'
${cgroups.join("\n")}
exec env -i PATH="$PATH" container=corten SYSTEMD_UNIT_PATH='${directory}/units' SYSTEMD_GENERATOR_PATH='${directory}/generators' \\
  SYSTEMD_LOG_TARGET=console ${systemdProgram} --system --unit=main.target --show-status=no
`;
}
