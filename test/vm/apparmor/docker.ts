import { mkdirSync } from "node:fs";
import { image, labelOf, loaded, own, same, start, unconfined, unload, until } from "./guest.ts";

const socket = "/run/test/docker.sock";
const byDefault = "docker-default (enforce)";

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const json = body !== undefined && !(body instanceof Uint8Array);
  return fetch(`http://docker${path}`, {
    unix: socket,
    method,
    ...(body === undefined ? {} : { body: json ? JSON.stringify(body) : body }),
    headers: { "content-type": json ? "application/json" : "application/x-tar" },
  } as RequestInit);
}

async function answer<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await call(method, path, body);
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${method} ${path}: ${text}`);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

interface Inspect {
  State: { Pid: number; ExitCode: number };
  AppArmorProfile: string;
}

const inspect = (name: string) => answer<Inspect>("GET", `/containers/${name}/json`);

async function create(name: string, host: Record<string, unknown>): Promise<void> {
  await answer("POST", `/containers/create?name=${name}`, {
    Image: image,
    Cmd: ["sleep", "1000"],
    HostConfig: { NetworkMode: "none", ...host },
  });
}

/** A running container: its profile as it is shown, and as the kernel has it. */
async function run(name: string, host: Record<string, unknown> = {}): Promise<[string, string]> {
  await create(name, host);
  await answer("POST", `/containers/${name}/start`);
  const { AppArmorProfile, State } = await inspect(name);
  return [AppArmorProfile, labelOf(State.Pid)];
}

/** What a command in a container says, all of it. */
async function exec(name: string, more: object, ...Cmd: string[]): Promise<string> {
  const { Id } = await answer<{ Id: string }>("POST", `/containers/${name}/exec`, {
    Cmd,
    Tty: true,
    AttachStdout: true,
    ...more,
  });
  const said = await (await call("POST", `/exec/${Id}/start`, { Tty: true })).text();
  return said.replace(/[\0\r\n]*$/, "");
}

/** What may be done there, a word each. */
const tries = `
attempt() { if sh -c "$2" 2>/dev/null; then echo $1 yes; else echo $1 no; fi; }
attempt mount "mkdir -p /place && mount -t tmpfs none /place"
attempt sysrq "echo x-is-no-command | head -c 0 > /proc/sysrq-trigger"
attempt domain "echo here > /proc/sys/kernel/domainname"
attempt shm "cat /proc/sys/kernel/shmmni | tee /proc/sys/kernel/shmmni"
attempt self "echo 500 > /proc/self/oom_score_adj"
attempt file "echo > /denied"
`;

async function allowed(name: string): Promise<string> {
  const said = await exec(name, {}, "sh", "-c", tries);
  return [...said.matchAll(/^(\w+) yes\r?$/gm)].map(([, word]) => word).join(" ");
}

export async function docker(): Promise<void> {
  mkdirSync("/run/test", { recursive: true });
  const daemon = start(
    "dockerd",
    ...["dockerd", "--bridge=none", "--iptables=false", "--data-root", "/var/lib/test"],
    ...["--exec-root", "/run/test", "-H", `unix://${socket}`],
  );
  await daemon.until(async () => (await call("GET", "/_ping")).ok);
  await daemon.until(() => loaded("docker-default") || daemon.log().includes("Failed to load"));
  same("dockerd: its start loads the default profile", loaded("docker-default"), true);
  await (await call("POST", `/images/create?fromImage=${image}`)).text();
  const { SecurityOptions } = await answer<{ SecurityOptions: string[] }>("GET", "/info");
  same("dockerd: info", SecurityOptions.slice(0, 2), ["name=apparmor", "name=seccomp,profile=builtin"]);

  same("dockerd: a container's profile", await run("plain"), ["docker-default", byDefault]);
  same("dockerd: an exec's", await exec("plain", {}, "cat", "/proc/self/attr/current"), byDefault);
  same(
    "dockerd: that of exec --privileged",
    await exec("plain", { Privileged: true }, "cat", "/proc/self/attr/current"),
    byDefault,
  );
  same("dockerd: --privileged", await run("privileged", { Privileged: true }), [unconfined, unconfined]);
  same("dockerd: its exec", await exec("privileged", {}, "cat", "/proc/self/attr/current"), unconfined);
  // Nothing but the profile is between these and the kernel.
  const open = (profile: string) => ({
    CapAdd: ["ALL"],
    SecurityOpt: [
      "seccomp=unconfined",
      "systempaths=unconfined",
      ...(profile ? [`apparmor=${profile}`] : []),
    ],
  });
  same("dockerd: with all capabilities", await run("open", open("")), ["docker-default", byDefault]);
  same("dockerd: what docker-default leaves", await allowed("open"), "shm self file");
  same("dockerd: apparmor=unconfined", await run("free", open(unconfined)), [unconfined, unconfined]);
  same(
    "dockerd: what is allowed without a profile",
    await allowed("free"),
    "mount sysrq domain shm self file",
  );
  same("dockerd: a profile of one's own", await run("own", open("own")), ["own", own]);
  same("dockerd: what it leaves", await allowed("own"), "mount sysrq domain shm self");
  same("dockerd: and of its exec", await exec("own", {}, "cat", "/proc/self/attr/current"), own);

  await create("missing", { SecurityOpt: ["apparmor=not-there"] });
  same("dockerd: what is shown before the start", (await inspect("missing")).AppArmorProfile, "not-there");
  const failed = await call("POST", "/containers/missing/start");
  same(
    "dockerd: a profile that is not loaded",
    [failed.status, ((await failed.json()) as { message: string }).message],
    [
      400,
      "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: unable to apply apparmor profile: apparmor failed to apply profile: write /proc/thread-self/attr/apparmor/exec: no such file or directory: unknown",
    ],
  );

  await answer("POST", "/containers/plain/stop?t=0");
  same("dockerd: a confined container is stopped", (await inspect("plain")).State.ExitCode, 137);
  for (const name of ["open", "plain"]) await answer("DELETE", `/containers/${name}?force=1`);
  await until(() => {
    unload("docker-default");
    return !loaded("docker-default");
  });
  same("dockerd: one that was unloaded is loaded again", await run("again"), ["docker-default", byDefault]);
  unload("docker-default");
  await Bun.write("/context/Dockerfile", `FROM ${image}\nRUN cat /proc/self/attr/current\n`);
  const context = Bun.spawnSync(["tar", "-C", "/context", "-c", "."]).stdout;
  const built = await (
    await call("POST", "/build?nocache=1&networkmode=host", new Uint8Array(context))
  ).text();
  same("dockerd: a build's RUN", built.includes(byDefault), true);
  await daemon.end();

  same("dockerd: its profile stays when it ends", loaded("docker-default"), true);
}
