/** The short way of a `run -d`; `run.test.ts` holds it to the usual way's request. */
import type { CreateContainerRequest, HostConfig, Sent } from "../../engine/types.ts";
import { between, type Environment, isWord, keyOf, type PlainDaemon, plainDaemon } from "./words.ts";

export interface PlainRun {
  daemon: PlainDaemon;
  name: string;
  body: Body;
}

type Body = CreateContainerRequest & { HostConfig: Sent<HostConfig> };

/** The request of a plain `run -d`; undefined for all else. */
export function plainRun(argv: readonly string[], env: Environment): PlainRun | undefined {
  const daemon = plainDaemon(argv, "run", env);
  if (!daemon) return undefined;
  const body = emptyBody();
  const run = { daemon, name: "", body };
  let { at } = daemon;
  let detached = false;
  for (; at < argv.length; at++) {
    const word = argv[at]!;
    if (word[0] !== "-") break;
    if (word === "-d" || word === "--detach") detached = true;
    else if (word === "--rm") body.HostConfig.AutoRemove = true;
    else if (!take(run, body, word, argv[++at])) return undefined;
  }
  const image = argv[at++];
  if (!detached || image === undefined || !plainImage(image)) return undefined;
  if (body.HostConfig.AutoRemove && body.HostConfig.RestartPolicy!.Name !== "no") return undefined;
  body.Image = image;
  if (at < argv.length) body.Cmd = argv.slice(at);
  return run;
}

/** Puts a flag's value where it belongs; false when it is none of ours, or not as plain as it looks. */
function take(run: PlainRun, body: Body, flag: string, value: string | undefined): boolean {
  if (value === undefined) return false;
  const host = body.HostConfig;
  switch (flag) {
    case "--name":
      run.name = value;
      return isWord(value);
    case "-e":
    case "--env": {
      const name = keyOf(value);
      if (name === "" || name === value) return false;
      body.Env ??= [];
      const before = body.Env;
      // The last of two values takes the place of the first: that is for the usual way.
      for (const pair of before) if (keyOf(pair) === name) return false;
      before.push(value);
      return true;
    }
    case "-l":
    case "--label": {
      const key = keyOf(value);
      if (key === "" || key === "__proto__" || key.includes(" ") || key.includes("\t")) return false;
      body.Labels![key] = value.slice(key.length + 1);
      return true;
    }
    case "--network":
    case "--net": {
      if (host.NetworkMode !== "default" || !isWord(value)) return false;
      host.NetworkMode = value;
      body.NetworkingConfig = { EndpointsConfig: {} };
      return true;
    }
    case "--restart":
      host.RestartPolicy = { Name: value as "always", MaximumRetryCount: 0 };
      return value === "no" || value === "always" || value === "unless-stopped" || value === "on-failure";
    case "--entrypoint":
      body.Entrypoint = [value];
      return true;
    case "-h":
    case "--hostname":
      body.Hostname = value;
      return true;
    case "-u":
    case "--user":
      body.User = value;
      return true;
    case "-w":
    case "--workdir":
      body.WorkingDir = value;
      return true;
    case "--cgroup-parent":
      host.CgroupParent = value;
      return true;
    default:
      return false;
  }
}

/** A name that is a valid reference, or becomes a refusal that the usual way puts into words. */
function plainImage(text: string): boolean {
  if (text.startsWith("deb:")) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    // Digits come with `.`, `/`, `-` and `:` beside them.
    if (!between(code, "a", "z") && !between(code, "-", ":") && code !== 95 && code !== 64) return false;
  }
  return text !== "";
}

/** What `run -d` sends without any other flag. */
const emptyBody = () =>
  ({
    Hostname: "",
    Domainname: "",
    User: "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: null as string[] | null,
    Cmd: null as string[] | null,
    Image: "",
    Volumes: {},
    WorkingDir: "",
    Entrypoint: null as string[] | null,
    OnBuild: null,
    Labels: {} as Record<string, string>,
    HostConfig: {
      Binds: null,
      ContainerIDFile: "",
      LogConfig: { Type: "", Config: {} },
      NetworkMode: "default",
      PortBindings: {},
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      VolumeDriver: "",
      VolumesFrom: null,
      ConsoleSize: [0, 0],
      CapAdd: null,
      CapDrop: null,
      CgroupnsMode: "",
      Dns: [],
      DnsOptions: [],
      DnsSearch: [],
      ExtraHosts: null,
      GroupAdd: null,
      IpcMode: "",
      Cgroup: "",
      Links: null,
      OomScoreAdj: 0,
      PidMode: "",
      Privileged: false,
      PublishAllPorts: false,
      ReadonlyRootfs: false,
      SecurityOpt: null,
      UTSMode: "",
      UsernsMode: "",
      ShmSize: 0,
      Isolation: "",
      CpuShares: 0,
      Memory: 0,
      NanoCpus: 0,
      CgroupParent: "",
      BlkioWeight: 0,
      BlkioWeightDevice: [],
      BlkioDeviceReadBps: [],
      BlkioDeviceWriteBps: [],
      BlkioDeviceReadIOps: [],
      BlkioDeviceWriteIOps: [],
      CpuPeriod: 0,
      CpuQuota: 0,
      CpuRealtimePeriod: 0,
      CpuRealtimeRuntime: 0,
      CpusetCpus: "",
      CpusetMems: "",
      DeviceCgroupRules: null,
      MemoryReservation: 0,
      MemorySwap: 0,
      MemorySwappiness: -1,
      OomKillDisable: false,
      PidsLimit: 0,
      Ulimits: [],
      CpuCount: 0,
      CpuPercent: 0,
      IOMaximumIOps: 0,
      IOMaximumBandwidth: 0,
      Devices: [],
      DeviceRequests: null,
      MaskedPaths: null,
      ReadonlyPaths: null,
    },
    NetworkingConfig: {
      EndpointsConfig: {
        default: {
          IPAMConfig: null,
          Links: null,
          Aliases: null,
          DriverOpts: null,
          GwPriority: 0,
          NetworkID: "",
          EndpointID: "",
          Gateway: "",
          IPAddress: "",
          MacAddress: "",
          IPPrefixLen: 0,
          IPv6Gateway: "",
          GlobalIPv6Address: "",
          GlobalIPv6PrefixLen: 0,
          DNSNames: null,
        },
      },
    },
  }) as Body;
