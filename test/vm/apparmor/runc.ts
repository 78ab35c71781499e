import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { labelOf, output, own, same, unconfined, until } from "./guest.ts";

interface Spec {
  process: Record<string, unknown>;
  linux: Record<string, unknown> & { namespaces: Array<{ type: string }> };
}

const byDefault = "docker-default (enforce)";

/** The same bundle under Debian's runc and under ours: what they say of it is the same. */
export async function runc(): Promise<void> {
  mkdirSync("/b/rootfs/bin", { recursive: true });
  copyFileSync("/bin/busybox", "/b/rootfs/bin/sh");
  for (const name of ["sleep", "cat"]) linkSync("/b/rootfs/bin/sh", `/b/rootfs/bin/${name}`);
  await output("corten", "runc", "spec", "--bundle", "/b");
  const spec = JSON.parse(readFileSync("/b/config.json", "utf8")) as Spec;
  const write = (apparmorProfile: string, mapped = false) => {
    const { namespaces } = spec.linux;
    const mappings = [{ containerID: 0, hostID: 0, size: 1000 }];
    writeFileSync(
      "/b/config.json",
      JSON.stringify({
        ...spec,
        process: { ...spec.process, terminal: false, args: ["sleep", "1000"], apparmorProfile },
        linux: mapped
          ? {
              ...spec.linux,
              namespaces: [...namespaces, { type: "user" }],
              uidMappings: mappings,
              gidMappings: mappings,
            }
          : spec.linux,
      }),
    );
  };
  const runtimes = { ours: ["corten", "runc"], runc: ["runc"] };
  const said: Record<string, unknown[]> = { ours: [], runc: [] };
  for (const [name, runtime] of Object.entries(runtimes)) {
    const at = (...args: string[]) => output(...runtime, ...args);
    /** The label of a container's process; its streams are nobody's, since the container keeps them open. */
    const run = async (id: string): Promise<string> => {
      const line = `cd /b && exec ${runtime.join(" ")} run -d --pid-file /tmp/${id}.pid ${id} >/tmp/runc.log 2>&1`;
      if ((await output("sh", "-c", line)).code !== 0) throw new Error(readFileSync("/tmp/runc.log", "utf8"));
      const pid = Number(readFileSync(`/tmp/${id}.pid`, "utf8"));
      // The program may not have been executed yet.
      await until(() => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
      return labelOf(pid);
    };
    const current = ["cat", "/proc/self/attr/current"];
    write("docker-default");
    said[name]!.push(await run(`${name}-plain`));
    said[name]!.push((await at("exec", `${name}-plain`, ...current)).said);
    said[name]!.push((await at("exec", "--apparmor", "own", `${name}-plain`, ...current)).said);
    writeFileSync(
      "/tmp/process.json",
      JSON.stringify({ user: { uid: 0, gid: 0 }, cwd: "/", args: current, env: ["PATH=/bin"] }),
    );
    said[name]!.push((await at("exec", "--process", "/tmp/process.json", `${name}-plain`)).said);
    await at("delete", "--force", `${name}-plain`);
    write("docker-default", true);
    said[name]!.push(await run(`${name}-mapped`));
    await at("delete", "--force", `${name}-mapped`);
    write(unconfined);
    said[name]!.push(await run(`${name}-free`));
    await at("delete", "--force", `${name}-free`);
    write("not-there");
    const failed = await at("run", "--bundle", "/b", `${name}-missing`);
    said[name]!.push(failed.code);
    said[name]!.push(
      // It names the file by its older path, of which the newer one is a part.
      /unable to start container process: error during container init: unable to apply apparmor profile: apparmor failed to apply profile: write \/proc\/(thread-)?self\/attr\/apparmor\/exec: no such file or directory/.test(
        failed.said,
      ),
    );
  }
  same("runc: process.apparmorProfile and exec's, as Debian's runc has them", said["ours"], said["runc"]);
  same("runc: which is", said["ours"], [
    byDefault,
    byDefault,
    own,
    unconfined,
    byDefault,
    unconfined,
    1,
    true,
  ]);
}
