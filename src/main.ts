/**
 * One executable, many programs. The program is the basename the executable was called by, or else the first
 * word; everything that is no program is a docker verb. Programs are imported lazily: start-up is a feature. So nothing
 * is imported here that each of them would have to load first.
 */

type Program = (argv: string[]) => Promise<number>;

const programs: Record<string, () => Promise<{ main: Program }>> = {
  docker: () => import("./cmd/docker.ts"),
  "docker, plain": () => import("./cmd/plain.ts"),
  dockerd: () => import("./cmd/dockerd.ts"),
  containerd: () => import("./cmd/containerd.ts"),
  cri: () => import("./cmd/cri.ts"),
  crio: () => import("./cmd/crio.ts"),
  dockershim: () => import("./cmd/dockershim.ts"),
  runc: () => import("./cmd/runc.ts"),
  ctr: () => import("./cmd/ctr.ts"),
  shim: () => import("./cmd/shim.ts"),
  crictl: () => import("./cmd/crictl.ts"),
  // Not for people: a layer is unpacked in a process of its own, and hashed on a thread of that.
  "store-unpack": () => import("./store/layer/unpack-process.ts"),
  "store-hash": () => import("./store/layer/hash-worker.ts"),
  // Nor is this: large copies of a build.
  "build-files": () => import("./build/files/process.ts"),
};

/** The build makes the JIT wait (`--compile-jit-policy`): commands end before it pays. These programs stay. */
const staying: ReadonlySet<string> = new Set([
  "dockerd",
  "containerd",
  "cri",
  "crio",
  "dockershim",
  "store-unpack",
  "store-hash",
]);

const basename = (text: string) => text.slice(text.lastIndexOf("/") + 1);

/** argv[0] as the caller gave it: a symlink named `runc` makes a runc. */
function calledAs(): string {
  const name = basename(process.argv0);
  // containerd makes its shims' names of the runtime's: io.containerd.corten.v2. Any other is for us to stand in for.
  if (name.startsWith("containerd-shim-") && /^containerd-shim-[\w-]+-v\d$/.test(name)) return "shim";
  return name.startsWith("corten-") ? name.slice("corten-".length) : name;
}

async function run(): Promise<number> {
  const argv = process.argv.slice(2);
  const called = calledAs();
  if (Object.hasOwn(programs, called)) return start(called, argv);
  const first = argv[0] ?? "";
  if (Object.hasOwn(programs, first)) return start(first, argv.slice(1));
  const plain = (argv.includes("run") && argv.includes("-d")) || argv.includes("exec");
  return start(plain ? "docker, plain" : "docker", argv);
}

async function start(name: string, argv: string[]): Promise<number> {
  if (staying.has(name)) Bun.unsafe.setJITPolicy(1);
  return (await programs[name]!()).main(argv);
}

run().then(
  (code) => {
    process.exitCode = code;
  },
  async (error) => {
    const { asCortenError } = await import("./base/errors.ts");
    process.stderr.write(`${basename(process.argv0)}: ${asCortenError(error).message}\n`);
    process.exitCode = 1;
  },
);
