/** The flags of `build`: those of docker's classic build and of buildx. */
import { bool, custom, list, string } from "../flags/flag.ts";
import { parseBytes } from "../format/units.ts";
import { parseUlimit } from "../run/values.ts";

const size = (name: string, short: string, help: string) =>
  custom<number>(name, short, help, 0, (_, raw) => parseBytes(raw), "0");

const hidden = <T extends object>(flag: T): T => ({ ...flag, hidden: true });

export const buildFlags = {
  "add-host": list("", "Add a line to /etc/hosts of the steps (host:ip)", undefined, "strings"),
  allow: list(
    "",
    'Allow what needs more rights ("network.host", "security.insecure")',
    undefined,
    "stringArray",
  ),
  annotation: list("", "Add an annotation to the image", undefined, "stringArray"),
  attest: list(
    "",
    'Attestations to make ("type=sbom", "type=provenance,mode=max")',
    undefined,
    "stringArray",
  ),
  "build-arg": list("", "Set a build-time variable", undefined, "stringArray"),
  "build-context": list("", "Further contexts (name=path)", undefined, "stringArray"),
  builder: hidden(string("", "Builder to use (there is one)")),
  "cache-from": list("", 'Caches to use ("user/app:cache", "type=local,src=path")', undefined, "stringArray"),
  "cache-to": list(
    "",
    'Caches to write ("user/app:cache", "type=local,dest=path")',
    undefined,
    "stringArray",
  ),
  call: string("", "What to do of the Dockerfile (build, check, outline, targets)", "build"),
  "cgroup-parent": string("", "Parent cgroup of the steps"),
  check: bool("", "Shorthand for --call=check"),
  compress: hidden(bool("", "Compress the context (it is not sent where that can be spared)")),
  "cpu-period": hidden(string("", "Limit the CFS period of the steps")),
  "cpu-quota": hidden(string("", "Limit the CFS quota of the steps")),
  "cpu-shares": hidden(string("c", "CPU weight of the steps")),
  "cpuset-cpus": hidden(string("", "CPUs that the steps may use")),
  "cpuset-mems": hidden(string("", "Memory nodes that the steps may use")),
  "disable-content-trust": hidden(bool("", "Skip image verification (always)", true)),
  file: string("f", 'Name of the Dockerfile (default: "PATH/Dockerfile")'),
  "force-rm": hidden(bool("", "Always remove intermediate containers (always)")),
  iidfile: string("", "Write the image's id to a file"),
  isolation: hidden(string("", "Isolation of the steps")),
  label: list("", "Set metadata of the image", undefined, "stringArray"),
  load: bool("", "Shorthand for --output=type=docker"),
  memory: hidden(string("m", "Memory limit of the steps")),
  "memory-swap": hidden(string("", "Limit of memory and swap of the steps")),
  "metadata-file": string("", "Write the result's metadata to a file"),
  network: string("", 'Network of RUN steps ("default", "none", "host")', "default"),
  "no-cache": bool("", "Do not use the cache"),
  "no-cache-filter": list("", "Do not use the cache for these stages", undefined, "stringArray"),
  output: list("o", 'Where the result goes ("type=local,dest=path")', undefined, "stringArray"),
  platform: list("", "Platforms of the result", undefined, "stringArray"),
  progress: string(
    "",
    'How progress is shown ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to see the output of steps',
    "auto",
  ),
  provenance: string("", "Shorthand for --attest=type=provenance"),
  pull: bool("", "Always ask the registry for base images"),
  push: bool("", "Shorthand for --output=type=registry"),
  print: hidden(string("", "What to do of the Dockerfile (older name of --call)")),
  quiet: bool("q", "Print only the image's id"),
  resource: list("", 'Limits of the steps ("memory=2g", "cpu-quota=50000")', undefined, "stringArray"),
  rm: hidden(bool("", "Remove intermediate containers (always)", true)),
  sbom: string("", "Shorthand for --attest=type=sbom"),
  secret: list("", 'Secrets for the build ("id=mysecret[,src=/local/secret]")', undefined, "stringArray"),
  "security-opt": hidden(list("", "Security options", undefined, "strings")),
  "shm-size": size("bytes", "", "Size of /dev/shm of the steps"),
  squash: hidden(bool("", "Squash the new layers into one")),
  ssh: list("", 'SSH agent sockets for the build ("default|<id>[=<socket>]")', undefined, "stringArray"),
  tag: list("t", 'Name and optionally a tag ("name:tag")', undefined, "stringArray"),
  target: string("", "Stage to build"),
  ulimit: custom<Record<string, ReturnType<typeof parseUlimit>>>(
    "ulimit",
    "",
    "Limits of the steps",
    {},
    (current, raw) => {
      const limit = parseUlimit(raw);
      return { ...current, [limit.Name]: limit };
    },
    "[]",
  ),
};

export type BuildValues = { [K in keyof typeof buildFlags]: (typeof buildFlags)[K]["initial"] };
