/** Our lists and inspections against docker's, on the same answers of a daemon: byte for byte. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FakeDaemon, runClient } from "../helpers/fake-daemon.ts";

const now = Math.floor(Date.now() / 1000);
const hex = (digit: string) => digit.repeat(64);
const container = (more: Record<string, unknown>) => ({
  Id: hex("a"),
  Names: ["/web"],
  Image: "nginx:1.27",
  ImageID: `sha256:${hex("1")}`,
  Command: "/docker-entrypoint.sh nginx -g 'daemon off;'",
  // Half a minute into its unit of time, so that both clients read the same age.
  Created: now - 7230,
  Ports: [],
  Labels: {},
  State: "running",
  Status: "Up 2 hours",
  HostConfig: { NetworkMode: "bridge" },
  NetworkSettings: { Networks: { bridge: {} } },
  Mounts: [],
  ...more,
});

const containers = [
  container({
    Ports: [
      { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { IP: "::", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { IP: "0.0.0.0", PrivatePort: 9001, PublicPort: 9001, Type: "tcp" },
      { IP: "0.0.0.0", PrivatePort: 9000, PublicPort: 9000, Type: "tcp" },
      { PrivatePort: 443, Type: "tcp" },
      { PrivatePort: 53, Type: "udp" },
    ],
    Labels: { b: "2", a: "1", "com.example.some-label": "x<y" },
    Names: ["/other/link", "/web"],
    Mounts: [
      {
        Type: "volume",
        Name: "a-volume-with-a-long-name",
        Source: "/x",
        Destination: "/d",
        Driver: "local",
        Mode: "",
        RW: true,
        Propagation: "",
      },
      { Type: "bind", Source: "/srv", Destination: "/srv", Mode: "", RW: true, Propagation: "" },
    ],
    SizeRw: 12345,
    SizeRootFs: 188_000_000,
  }),
  container({
    Id: hex("b"),
    Names: ["/done"],
    Image: `sha256:${hex("2")}`,
    ImageID: `sha256:${hex("2")}`,
    Command: 'sh -c "echo ünï"\n',
    Created: now - 40 * 86400,
    State: "exited",
    Status: "Exited (0) 5 weeks ago",
    NetworkSettings: null,
    Labels: null,
  }),
  container({
    Id: hex("c"),
    Names: ["/digest"],
    Image: `registry.example:5000/a/b:t@sha256:${hex("3")}`,
    Created: now - 90,
    Command: "日本語日本語日本語日本語",
  }),
];

const image = (more: Record<string, unknown>) => ({
  Containers: -1,
  Created: now - 3 * 86400 - 3600,
  Id: `sha256:${hex("1")}`,
  Labels: null,
  ParentId: "",
  RepoDigests: [],
  RepoTags: [],
  SharedSize: -1,
  Size: 187_654_321,
  ...more,
});
const images = [
  image({ RepoTags: ["nginx:1.27", "nginx:latest"], RepoDigests: [`nginx@sha256:${hex("4")}`] }),
  image({ Id: `sha256:${hex("2")}`, Size: 999 }),
  image({
    Id: `sha256:${hex("3")}`,
    RepoDigests: [`localhost:5000/x@sha256:${hex("5")}`],
    Size: 4_400_000,
    Created: now - 400 * 86400,
  }),
];

const inspected = `{"Id":"${hex("a")}","Name":"/web","Created":"2026-01-02T03:04:05.123456789Z","State":{"Status":"running","Running":true,"Pid":42,"ExitCode":0},"Args":["-g","a \\u003c b"],"HostConfig":{"NanoCpus":1500000000,"Memory":67108864,"Dns":[],"Binds":null},"Config":{"Hostname":"h","Env":["A=1","B=2"],"Cmd":null,"Labels":{"x.y":"z"},"Tty":false},"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"443/tcp":null,"9/udp":[{"HostIp":"127.0.0.1","HostPort":"9"}]},"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}},"Mounts":[]}`;

const network = (Name: string, more: Record<string, unknown> = {}) => ({
  Name,
  Id: Name.charCodeAt(0).toString(16).repeat(32),
  Created: "2026-01-02T03:04:05.123456789Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv4: true,
  EnableIPv6: false,
  IPAM: { Driver: "default", Options: null, Config: [{ Subnet: "10.0.0.0/24" }] },
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: {},
  Options: {},
  Labels: {},
  ...more,
});

const answers: Record<string, unknown> = {
  "/containers/json": containers,
  "/containers/web/top": {
    Titles: ["PID", "USER", "COMMAND"],
    Processes: [
      ["1", "root", "nginx: master process"],
      ["29", "nginx", "nginx: worker"],
    ],
  },
  "/containers/web/changes": [
    { Path: "/etc", Kind: 0 },
    { Path: "/etc/new", Kind: 1 },
    { Path: "/gone", Kind: 2 },
  ],
  "/images/json": images,
  "/images/nginx/history": [
    {
      Id: `sha256:${hex("1")}`,
      Created: now - 3 * 86400 - 3600,
      CreatedBy: 'CMD ["nginx" "-g"\t"daemon off;"] and much more than fits',
      Tags: null,
      Size: 0,
      Comment: "buildkit",
    },
    { Id: "<missing>", Created: 0, CreatedBy: "ADD file", Tags: null, Size: 74_800_000, Comment: "" },
  ],
  "/networks": [
    network("zeta", { Labels: { a: "b" } }),
    network("bridge"),
    network("net10"),
    network("net9", { Internal: true }),
  ],
  "/volumes": {
    Volumes: ["vol10", "vol9", "abc"].map((Name) => ({
      Name,
      Driver: "local",
      Labels: Name === "abc" ? { k: "v" } : null,
      Mountpoint: `/m/${Name}`,
      Options: null,
      Scope: "local",
    })),
    Warnings: null,
  },
  "/volumes/abc": {
    Name: "abc",
    Driver: "local",
    Labels: {},
    Mountpoint: "/m/abc",
    Options: {},
    Scope: "local",
    CreatedAt: "2026-01-02T03:04:05Z",
  },
  "/networks/bridge": network("bridge"),
  "/info": { Swarm: { LocalNodeState: "inactive" } },
};

const list = ["", "-q", "--no-trunc", "--format json", "--format table", "--format raw"];
const lines: string[] = [
  ...[
    ...list,
    "-a -s",
    "--format {{.ID}}",
    "--format '{{.ID}} {{.Names}} {{.State}}'",
    "--format 'table {{.Names}}\\t{{.Ports}}\\t{{.Label \"a\"}}'",
    "--format 'table {{.ID}}\\t{{upper .Image}}\\t{{truncate .Command 5}}'",
    "--format '{{.Size}} {{.Mounts}} {{.LocalVolumes}} {{.CreatedAt}}'",
    "--format '{{json .Labels}} {{.Networks}} {{.RunningFor}}'",
    "--format '{{if eq .State \"running\"}}yes{{else}}no{{end}}'",
    "--format '{{range $i, $x := split .Names \"e\"}}[{{$i}}:{{$x}}]{{end}}'",
    "--format '{{printf \"%-10s|%5s|%q\" .Names .State .Image}}'",
    "--format '{{with .Names}}{{.}}{{end}} {{len .ID}} {{slice .ID 0 3}}'",
    "--format '{{.Names | title | printf \"%s!\"}} {{pad .State 1 2}}|'",
    "--format '{{/* no */}}{{- .ID -}}  x'",
    "--format '{{.Nope}}'",
    "--format '{{.ID'",
    "--format '{{nope .ID}}'",
    "--format '{{if .ID}}'",
    "--format '{{end}}'",
    "--format '{{.ID}} {{and .ID .Names}} {{or \"\" .State}} {{not .ID}}'",
    '--format \'{{$x := .ID}}{{$x}} {{eq .State "a" "running"}} {{lt 1 2}} {{index (split .Image ":") 0}}\'',
    "--filter name=x --filter status=running -n 3",
    "--filter nope",
    "-l",
    "-q --format '{{.Names}}'",
  ].map((flags) => `ps ${flags}`),
  ...[
    ...list,
    "--digests",
    "-a",
    "nginx",
    "--format '{{.Repository}}:{{.Tag}} {{.Digest}} {{.CreatedSince}}'",
    "--format '{{.CreatedAt}} {{.VirtualSize}} {{.SharedSize}} {{.UniqueSize}} {{.Containers}}'",
    "--format 'table {{.ID}}' --digests",
  ].map((flags) => `images ${flags}`),
  ...["", "-q", "--no-trunc", "-H=false", "--format json", "--format '{{.CreatedAt}} {{.CreatedBy}}'"].map(
    (flags) => `history ${flags} nginx`,
  ),
  ...[...list, "--format '{{.Name}} {{.CreatedAt}} {{.IPv6}} {{.Internal}} {{.Labels}}'"].map(
    (flags) => `network ls ${flags}`,
  ),
  ...[
    "",
    "-q",
    "--format json",
    "--format raw",
    "--format '{{.Name}} {{.Mountpoint}} {{.Labels}} {{.Size}}'",
  ].map((flags) => `volume ls ${flags}`),
  "top web",
  "top web -ef",
  "diff web",
  "port web",
  "port web 80",
  "port web 80/tcp",
  "port web 443",
  "port web x",
  "inspect web",
  "inspect nothing",
  "inspect web nothing",
  "inspect --type image web",
  "inspect --type nope web",
  "container inspect web",
  "inspect -f json web",
  "inspect -f '{{.Id}} {{.Name}}' web",
  "inspect -f '{{.ID}} {{.Name}}' web",
  "inspect -f '{{.State.Pid}} {{.State.Running}} {{.HostConfig.Memory}} {{.HostConfig.NanoCPUs}}' web",
  "inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' web",
  "inspect -f '{{range .Config.Env}}{{println .}}{{end}}' web",
  "inspect -f '{{range $p, $b := .NetworkSettings.Ports}}{{$p}}={{range $b}}{{.HostPort}},{{end}} {{end}}' web",
  "inspect -f '{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}' web",
  "inspect -f '{{index .Config.Labels \"x.y\"}} {{json .Config.Env}} {{.Args}}' web",
  "inspect -f '{{.Config.Labels.nothing}}' web",
  "inspect -f '{{.Nope}}' web",
  "inspect -f '{{.State.Nope.Deeper}}' web",
  "inspect -f '{{.State.Health.Status}}' web",
  "inspect -f '{{if .State.Health}}h{{else}}none{{end}}' web",
  "inspect -f '{{' web",
  "volume inspect abc",
  "volume inspect nothing",
  "volume inspect -f '{{.Mountpoint}}' abc",
  "network inspect bridge",
  "network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' bridge",
  "rm",
  "ps extra",
  "images a b",
  "rename a",
  "port",
  "nothing",
  "container nothing",
  "--nothing",
  "ps --nothing",
  "exec web",
  "rm nothing",
  "kill nothing other",
  "stop -t x web",
  "start nothing",
  "logs nothing",
  "tag nginx UPPER",
];

const words = (line: string): string[] =>
  [...line.matchAll(/(?:'([^']*)'|[^\s'])+/g)].map((match) => match[0].replace(/'([^']*)'/g, "$1"));

let daemon: FakeDaemon;
beforeAll(() => {
  daemon = new FakeDaemon(({ method, target }) => {
    const path = target.replace(/\?.*$/, "");
    if (method === "GET" && path === "/containers/web/json") return { text: inspected };
    if (method === "GET" && Object.hasOwn(answers, path)) return { json: answers[path] };
    return { status: 404, json: { message: `No such object: ${path.split("/")[2]}` } };
  });
});
afterAll(() => daemon[Symbol.dispose]());

for (const line of lines)
  test(line, async () => {
    const run = async (which: "real" | "ours") => {
      const before = daemon.requests.length;
      const ended = await runClient(which, words(line), { host: daemon.host });
      // For a name that is nothing docker also asks after swarm and plugins, which we have not.
      const asked = daemon.requests
        .slice(before)
        .map(({ method, target }) => `${method} ${target}`)
        .filter((one) => !/^GET \/(info|plugins)/.test(one))
        .sort();
      return { ...ended, asked };
    };
    const real = await run("real");
    expect(await run("ours")).toEqual(real);
  });
