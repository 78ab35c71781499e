import { describe, expect, test } from "bun:test";
import { build, failure, history, names, operation, vertices } from "./test-build.ts";

describe("heredocs of RUN", () => {
  test("alone are the script that the shell is given", async () => {
    const result = await build("FROM busybox\nRUN <<-EOF\n\techo 1\n\techo 2\nEOF");
    const run = operation(result, "run", "RUN <<-EOF (echo 1...)");
    expect(run.args).toEqual(["/bin/sh", "-c", "echo 1\necho 2\n"]);
  });

  test("with an interpreter are a file", async () => {
    const result = await build("FROM busybox\nRUN <<EOF\n#!/bin/awk\n1\nEOF");
    const run = operation(result, "run", "RUN <<EOF (#!/bin/awk...)");
    expect(run.args).toEqual(["/bin/sh", "-c", "/dev/pipes/EOF"]);
    expect(run.mounts).toEqual([
      { type: "bind", input: 1, source: "/", target: "/dev/pipes/", readonly: true },
    ]);
    const file = operation(result, "files", "preparing inline document");
    expect(file.actions).toEqual([
      { action: "mkfile", path: "/EOF", content: "#!/bin/awk\n1\n", mode: 0o755 },
    ]);
  });

  test("as part of a command are left to the shell", async () => {
    const result = await build("FROM busybox\nRUN cat <<A <<B\n1\nA\n2\nB\n");
    expect(operation(result, "run", "RUN cat <<A <<B").args).toEqual([
      "/bin/sh",
      "-c",
      "cat <<A <<B\n1\nA\n2\nB",
    ]);
  });
});

describe("mounts of RUN", () => {
  const mountsOf = async (flags: string, before = "") => {
    const result = await build(`FROM busybox AS other\nRUN made\nFROM busybox\n${before}\nRUN ${flags} make`);
    const run = vertices(result.targets[0]!.vertex).at(-1)!;
    if (run.operation.kind !== "run") throw new Error("the last step is no RUN");
    return { run: run.operation, inputs: run.inputs.map(({ name }) => name) };
  };

  test("show the context, stages and images", async () => {
    const { run, inputs } = await mountsOf(
      "--mount=target=/c,source=sub --mount=from=other,target=/o,rw --mount=from=other,target=/p",
    );
    expect(run.mounts).toEqual([
      { type: "bind", input: 1, source: "/sub", target: "/c", readonly: true },
      { type: "bind", input: 2, source: "/", target: "/o", readonly: false },
      { type: "bind", input: 2, source: "/", target: "/p", readonly: true },
    ]);
    expect(inputs.slice(1)).toEqual(["[internal] load build context", "[other 2/2] RUN made"]);
  });

  test("of caches have an id, an owner, and what they begin with", async () => {
    const { run } = await mountsOf(
      "--mount=type=cache,target=x/ --mount=type=cache,target=/y,id=Y,sharing=locked,uid=1,gid=2,mode=0700,from=other --mount=type=cache,target=/z,from=other,source=/lib,uid=9",
      "WORKDIR /w",
    );
    const cache = {
      type: "cache",
      readonly: false,
      sharing: "shared",
      source: "/",
      uid: 0,
      gid: 0,
      mode: 0o755,
    };
    expect(run.mounts as unknown[]).toEqual([
      { ...cache, id: "/x", target: "/w/x" },
      { ...cache, id: "/Y", target: "/y", sharing: "locked", uid: 1, gid: 2, mode: 0o700, input: 1 },
      { ...cache, id: "//z", target: "/z", source: "/lib", input: 1 },
    ]);
  });

  test("of secrets are files below /run/secrets, variables, or both", async () => {
    const { run } = await mountsOf(
      "--mount=type=secret,id=a/b --mount=type=secret,id=c,env=C --mount=type=secret,id=d,env=D,target=/d,required,mode=0444,uid=7",
    );
    const secret = { type: "secret", required: false, uid: 0, gid: 0, mode: 0o400 };
    expect(run.mounts as unknown[]).toEqual([
      { ...secret, id: "c", env: "C" },
      { ...secret, id: "d", env: "D", target: "/d", required: true, mode: 0o444, uid: 7 },
      { ...secret, id: "a/b", target: "/run/secrets/b" },
    ]);
  });

  test("of agents tell the first one's socket", async () => {
    const { run } = await mountsOf("--mount=type=ssh --mount=type=ssh,id=two,required");
    const agent = { type: "ssh", required: false, uid: 0, gid: 0, mode: 0o600 };
    expect(run.mounts as unknown[]).toEqual([
      { ...agent, id: "default", target: "/run/buildkit/ssh_agent.0" },
      { ...agent, id: "two", required: true, target: "/run/buildkit/ssh_agent.1" },
    ]);
    expect(run.env).toContain("SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0");
  });

  test("expand variables in all but from", async () => {
    const { run } = await mountsOf("--mount=type=tmpfs,target=$T,size=1k", "ENV T=/t");
    expect(run.mounts).toEqual([{ type: "tmpfs", target: "/t", size: 1024 }]);
  });

  test("name the stage even when it is alone, and do not show secrets", async () => {
    const result = await build("FROM busybox\nENV A=1\nRUN --mount=type=secret,id=t,env=T make $A $T");
    expect(names(result).at(-1)).toBe("[stage-0 2/2] RUN --mount=type=secret,id=t,env=T make 1 ****");
  });

  test("of a stage that comes later are refused", async () => {
    const file =
      "FROM busybox\nRUN --mount=from=late,target=/x make\nFROM busybox AS late\nFROM busybox AS last";
    expect(await failure(file, { request: { target: "stage-0" } })).toContain('target stage "stage-0"');
    const copied = `${file}\nCOPY --from=0 /a /`;
    expect(await failure(copied)).toBe(
      'cannot mount from stage "late" to "/x", stage needs to be defined before current command',
    );
  });
});

test("RUN has the user, the directory and the settings of the request", async () => {
  const resources = { memory: 1 };
  const result = await build("FROM busybox\nUSER me:us\nWORKDIR /w\nRUN make", {
    request: {
      extraHosts: ["h:1.2.3.4"],
      shmSize: 5,
      ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
      cgroupParent: "/p",
      hostname: "box",
      network: "none",
      resources,
    },
  });
  expect(operation(result, "run", "RUN make")).toEqual({
    kind: "run",
    base: 0,
    args: ["/bin/sh", "-c", "make"],
    env: ["PATH=/bin"],
    cwd: "/w",
    user: "me:us",
    hostname: "box",
    mounts: [],
    network: "none",
    security: "sandbox",
    extraHosts: ["h:1.2.3.4"],
    shmSize: 5,
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
    cgroupParent: "/p",
    resources,
  });
  expect(operation(result, "files", "WORKDIR /w").actions).toEqual([
    { action: "mkdir", path: "/w", mode: 0o755, parents: true, owner: { user: "me", group: "us" } },
  ]);
});

test("RUN on nothing has no root filesystem below it", async () => {
  const result = await build('FROM scratch\nRUN ["/x"]');
  const run = operation(result, "run", 'RUN ["/x"]');
  expect(run.base).toBeUndefined();
  expect(run.args).toEqual(["/x"]);
  expect(history(result)).toEqual(["+ RUN /x # buildkit"]);
});
