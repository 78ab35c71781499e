/** The CRI servers that a world can have, each with what is below it, on roots of the world's own. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { corten } from "../helpers/engine.ts";

/** A program that a world starts, and the socket by which it is seen to be there. */
export interface Program {
  argv: string[];
  socket: string;
}

export interface Server {
  /** Where CRI is served. */
  readonly socket: string;
  /** Started before the server, and left alone when that is killed. */
  readonly below: readonly Program[];
  readonly program: Program;
  /** Pods are a Docker daemon's containers. */
  readonly docker: boolean;
  /** Names of what pods have in its directories. */
  held(): string[];
}

export type ServerName =
  | "corten containerd"
  | "the real containerd"
  | "dockershim and corten dockerd"
  | "dockershim and the real dockerd"
  | "crio"
  | "crio with conmon and runc"
  | "crio with runc"
  | "crio with runsc"
  | "crio with conmon and runsc";

const names = (dir: string) => (existsSync(dir) ? readdirSync(dir) : []);

/** `dir` is the world's; `dir/net.d` holds the network's configuration. */
export const servers: Record<ServerName, (dir: string) => Server> = {
  "corten containerd": (dir) => onContainerd(dir, false),
  "the real containerd": (dir) => onContainerd(dir, true),
  "dockershim and corten dockerd": (dir) => onDocker(dir, false),
  "dockershim and the real dockerd": (dir) => onDocker(dir, true),
  crio: (dir) => crio(dir, ""),
  "crio with conmon and runc": (dir) =>
    crio(dir, 'runtime_path = "/usr/sbin/runc"\nmonitor_path = "/usr/bin/conmon"'),
  "crio with runc": (dir) => crio(dir, 'runtime_path = "/usr/sbin/runc"'),
  "crio with runsc": (dir) => crio(dir, `runtime_path = "${runsc(dir)}"`),
  "crio with conmon and runsc": (dir) =>
    crio(dir, `runtime_path = "${runsc(dir)}"\nmonitor_path = "/usr/bin/conmon"`),
};

/** Our containerd with its CRI, or Debian's with `corten cri` beside it. */
function onContainerd(dir: string, foreign: boolean): Server {
  const containerd = join(dir, "run/containerd.sock");
  const config = join(dir, "config.toml");
  writeFileSync(
    config,
    `version = 2
disabled_plugins = [${foreign ? '"io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"' : ""}]
[ttrpc]
  address = "${join(dir, "run/ttrpc.sock")}"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  cdi_spec_dirs = ["${join(dir, "cdi")}"]
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(dir, "net.d")}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${join(dir, "certs.d")}"
`,
  );
  const roots = ["--config", config, "--root", join(dir, "lib"), "--state", join(dir, "run")];
  const daemon = ["--log-level", "debug", ...roots, "--address", containerd];
  const state = join(dir, "run/io.containerd.grpc.v1.cri");
  const root = join(dir, "lib/io.containerd.grpc.v1.cri");
  const held = () =>
    ["namespaces", "sandboxes", "containers"].flatMap((kind) => [
      ...names(join(state, kind)),
      ...names(join(root, kind)),
    ]);
  if (!foreign)
    return {
      socket: containerd,
      below: [],
      program: { argv: [...corten, "containerd", ...daemon], socket: containerd },
      docker: false,
      held,
    };
  const socket = join(dir, "run/cri.sock");
  return {
    socket,
    below: [{ argv: ["containerd", ...daemon], socket: containerd }],
    program: {
      argv: [...corten, "cri", "--debug", ...roots, "--containerd", containerd, "--listen", socket],
      socket,
    },
    docker: false,
    held,
  };
}

/** `corten dockershim` on our dockerd or on Debian's. */
function onDocker(dir: string, foreign: boolean): Server {
  const docker = join(dir, "docker.sock");
  const socket = join(dir, "cri.sock");
  const data = join(dir, "lib");
  const root = join(dir, "dockershim");
  mkdirSync(data, { recursive: true });
  const dockerd = [
    ...["--data-root", data, "--exec-root", join(dir, "run"), "--pidfile", join(dir, "dockerd.pid")],
    ...["-H", `unix://${docker}`, "--bridge=none", "--iptables=false"],
  ];
  const shim = [
    ...["--docker-endpoint", `unix://${docker}`, "--listen", socket, "--root", root, "--debug"],
    ...["--cni-bin-dir", "/usr/lib/cni", "--cni-conf-dir", join(dir, "net.d")],
  ];
  return {
    socket,
    below: [
      {
        argv: foreign ? ["/usr/sbin/dockerd", ...dockerd] : [...corten, "dockerd", ...dockerd],
        socket: docker,
      },
    ],
    program: { argv: [...corten, "dockershim", ...shim], socket },
    docker: true,
    held: () => [...names(join(root, "sandbox")), ...names(join(data, "containers"))],
  };
}

/** gVisor as it runs on this machine: without KVM, cgroups of version 2, and its own network stack. */
function runsc(dir: string): string {
  const path = join(dir, "runsc");
  writeFileSync(
    path,
    '#!/bin/sh\nexec /usr/bin/runsc --platform=ptrace --network=host --ignore-cgroups "$@"\n',
    { mode: 0o755 },
  );
  return path;
}

/** `corten crio` with settings of its own for its one runtime. */
function crio(dir: string, runtime: string): Server {
  const socket = join(dir, "crio.sock");
  const config = join(dir, "crio.conf");
  writeFileSync(
    config,
    `[crio]
root = "${join(dir, "lib")}"
runroot = "${join(dir, "run")}"
version_file = "${join(dir, "run/version")}"
clean_shutdown_file = "${join(dir, "lib/clean.shutdown")}"
[crio.api]
listen = "${socket}"
[crio.runtime]
log_level = "debug"
cgroup_manager = "cgroupfs"
cdi_spec_dirs = ["${join(dir, "cdi")}"]
hooks_dir = ["${join(dir, "hooks.d")}"]
container_exits_dir = "${join(dir, "exits")}"
container_attach_socket_dir = "${join(dir, "att")}"
[crio.runtime.runtimes.runc]
${runtime}
[crio.network]
network_dir = "${join(dir, "net.d")}"
plugin_dirs = ["/usr/lib/cni"]
`,
  );
  const state = join(dir, "run/corten/crio");
  const root = join(dir, "lib/corten/crio");
  return {
    socket,
    below: [],
    program: {
      argv: [
        ...corten,
        "crio",
        ...["--config", config, "--config-dir", join(dir, "crio.conf.d")],
        ...["--registries-conf", join(dir, "registries.conf")],
      ],
      socket,
    },
    docker: false,
    held: () => [
      ...["namespaces", "sandboxes", "containers"].flatMap((kind) => [
        ...names(join(state, kind)),
        ...names(join(root, kind)),
      ]),
      ...["runc"].flatMap((name) => names(join(state, "runtimes", name))),
      ...names(join(dir, "exits")),
      ...names(join(dir, "att")),
    ],
  };
}
