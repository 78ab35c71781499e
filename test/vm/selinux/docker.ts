import { mkdirSync, writeFileSync } from "node:fs";
import {
  fileInside,
  fileLabel,
  image,
  labelInside,
  labelOf,
  levelOf,
  makeRoot,
  own,
  ownLevel,
  same,
  start,
  typeOf,
  until,
} from "./guest.ts";

const socket = "/run/test/docker.sock";
const plainFile = "system_u:object_r:host_file_t:s0";
const sharedFile = "system_u:object_r:container_file_t:s0";

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`http://docker${path}`, {
    unix: socket,
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  } as RequestInit);
}

async function answer<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await call(method, path, body);
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

interface Inspect {
  State: { Pid: number };
  ProcessLabel: string;
  MountLabel: string;
}

/** A running container: its inspection. */
async function run(
  name: string,
  host: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Promise<Inspect> {
  await answer("POST", `/containers/create?name=${name}`, {
    Image: image,
    Cmd: ["sleep", "1000"],
    StopSignal: "KILL",
    HostConfig: { NetworkMode: "none", ...host },
    ...more,
  });
  await answer("POST", `/containers/${name}/start`);
  return answer("GET", `/containers/${name}/json`);
}

/** What a command in a container says, all of it. */
async function exec(name: string, ...Cmd: string[]): Promise<string> {
  const { Id } = await answer<{ Id: string }>("POST", `/containers/${name}/exec`, {
    Cmd,
    Tty: true,
    AttachStdout: true,
  });
  const said = await (await call("POST", `/exec/${Id}/start`, { Tty: true })).text();
  return said.replace(/[\0\r\n]*$/, "");
}

export async function docker(): Promise<void> {
  mkdirSync("/run/test", { recursive: true });
  await makeRoot("/var/lib/test");
  const serve = () =>
    start(
      "dockerd",
      "dockerd",
      "--selinux-enabled",
      "--bridge=none",
      "--iptables=false",
      "--data-root",
      "/var/lib/test",
      "--exec-root",
      "/run/test",
      "-H",
      `unix://${socket}`,
    );
  let daemon = serve();
  await until(async () => (await call("GET", "/_ping")).ok);
  await until(async () => (await fetch("http://127.0.0.1:5000/v2/")).ok);
  await (await call("POST", `/images/create?fromImage=${image}`)).text();
  const { SecurityOptions } = await answer<{ SecurityOptions: string[] }>("GET", "/info");
  same("dockerd: info", SecurityOptions.includes("name=selinux"), true);

  const one = await run("one");
  const two = await run("two", { IpcMode: "shareable" });
  for (const [name, { ProcessLabel, MountLabel, State }] of Object.entries({ one, two })) {
    same(`dockerd: ${name}'s process`, labelOf(State.Pid), ProcessLabel);
    same(`dockerd: ${name}'s type`, typeOf(ProcessLabel), "container_t");
    same(
      `dockerd: ${name}'s level`,
      [ownLevel.test(levelOf(ProcessLabel)), levelOf(MountLabel)],
      [true, levelOf(ProcessLabel)],
    );
    const places = [
      "/",
      "/bin",
      "/dev",
      "/dev/pts",
      "/dev/shm",
      "/dev/mqueue",
      "/proc/acpi",
      "/sys/firmware",
    ];
    same(
      `dockerd: ${name}'s files`,
      places.map((path) => labelInside(State.Pid, path)),
      places.map(() => MountLabel),
    );
    const own = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    same(
      `dockerd: ${name}'s own files`,
      own.map((path) => fileInside(State.Pid, path)),
      own.map(() => MountLabel),
    );
  }
  same("dockerd: no two have a level", levelOf(one.ProcessLabel) === levelOf(two.ProcessLabel), false);
  same("dockerd: exec", await exec("one", "cat", "/proc/self/attr/current"), one.ProcessLabel);
  same(
    "dockerd: what a container writes",
    await exec("one", "sh", "-c", "echo x >/f && echo written"),
    "written",
  );
  same("dockerd: has its label", fileInside(one.State.Pid, "/f"), one.MountLabel);
  const joined = await run("joined", { IpcMode: "container:two" });
  same("dockerd: --ipc container: has the other's label", labelOf(joined.State.Pid), two.ProcessLabel);

  const asked = await run("asked", { SecurityOpt: ["label=type:other_t", "label=level:s0:c10,c20"] });
  same(
    "dockerd: label=type and label=level",
    labelOf(asked.State.Pid),
    "system_u:system_r:other_t:s0:c10,c20",
  );
  same(
    "dockerd: and its files",
    labelInside(asked.State.Pid, "/"),
    "system_u:object_r:container_file_t:s0:c10,c20",
  );
  const plain = {
    disabled: { SecurityOpt: ["label=disable"] },
    privileged: { Privileged: true },
    hostPid: { PidMode: "host" },
  };
  for (const [name, host] of Object.entries(plain)) {
    const { State } = await run(name, host);
    same(`dockerd: ${name}: the process is as the daemon`, labelOf(State.Pid), own);
    same(
      `dockerd: ${name}: nobody else has its files`,
      labelInside(State.Pid, "/"),
      `${sharedFile}:c1022,c1023`,
    );
  }

  await volumes();

  daemon.kill("SIGKILL");
  await new Promise((done) => daemon.once("exit", done));
  daemon = serve();
  await until(async () => (await call("GET", "/_ping")).ok);
  same(
    "dockerd: the next daemon's exec",
    await exec("one", "cat", "/proc/self/attr/current"),
    one.ProcessLabel,
  );
  await answer("POST", "/containers/one/restart?t=0");
  const again = await answer<Inspect>("GET", "/containers/one/json");
  same("dockerd: started again", labelOf(again.State.Pid), one.ProcessLabel);
  const all = await answer<Array<{ Id: string }>>("GET", "/containers/json?all=1");
  for (const { Id } of all) await answer("DELETE", `/containers/${Id}?force=1&v=1`);
  daemon.kill("SIGTERM");
  await new Promise((done) => daemon.once("exit", done));
}

/** `z`, `Z` and neither; and that the kernel keeps by it. */
async function volumes(): Promise<void> {
  for (const name of ["shared", "private", "plain"]) {
    mkdirSync(`/data/${name}/below`, { recursive: true });
    writeFileSync(`/data/${name}/below/file`, name);
  }
  writeFileSync("/data/alone", "");
  const Binds = [
    "/data/shared:/shared:z",
    "/data/private:/private:ro,Z",
    "/data/plain:/plain",
    "named:/named",
    "/data/alone:/alone:z",
  ];
  const Mounts = [{ Type: "volume", Source: "mounted", Target: "/mounted" }];
  const { MountLabel, State } = await run("volumes", { Binds, Mounts }, { Volumes: { "/anonymous": {} } });
  const below = (name: string) =>
    [`/data/${name}`, `/data/${name}/below`, `/data/${name}/below/file`].map(fileLabel);
  same("dockerd: :z", below("shared"), [sharedFile, sharedFile, sharedFile]);
  same("dockerd: :Z", below("private"), [MountLabel, MountLabel, MountLabel]);
  same("dockerd: neither", below("plain"), [plainFile, plainFile, plainFile]);
  same("dockerd: a file with :z", fileLabel("/data/alone"), sharedFile);
  for (const path of ["/named", "/mounted", "/anonymous"])
    same(`dockerd: the volume ${path}`, labelInside(State.Pid, path), sharedFile);
  const read = (name: string, what: string) =>
    exec(name, "sh", "-c", `cat /${what}/below/file 2>/dev/null || echo refused`);
  same("dockerd: reads what is shared", await read("volumes", "shared"), "shared");
  same("dockerd: reads what is its own", await read("volumes", "private"), "private");
  same("dockerd: does not read the host's", await read("volumes", "plain"), "refused");
  await run("another", { Binds: ["/data/shared:/shared", "/data/private:/private"] });
  same("dockerd: another reads what is shared", await read("another", "shared"), "shared");
  same("dockerd: another does not read what is private", await read("another", "private"), "refused");

  await answer("POST", "/containers/create?name=wrong", {
    Image: image,
    Cmd: ["true"],
    HostConfig: { NetworkMode: "none", Binds: ["/usr:/x:z"] },
  });
  const refused = await call("POST", "/containers/wrong/start");
  same("dockerd: directories of the system are refused", await refused.json(), {
    message: "error setting label on mount source '/usr': SELinux relabeling of /usr is not allowed",
  });
}
