import { describe, expect, test } from "bun:test";
import { build, failure, history, image, names, operation, vertices } from "./test-build.ts";

describe("the config of the image", () => {
  const cases: [string, string, Record<string, unknown>][] = [
    ["keeps the base image's command", "FROM busybox", { Env: ["PATH=/bin"], Cmd: ["sh"] }],
    [
      "begins with a PATH and the root directory",
      "FROM scratch\nLABEL a=b",
      {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        WorkingDir: "/",
        Labels: { a: "b" },
      },
    ],
    [
      "has the shell form wrapped",
      "FROM busybox\nCMD echo hi",
      { Env: ["PATH=/bin"], Cmd: ["/bin/sh", "-c", "echo hi"], ArgsEscaped: true },
    ],
    [
      "has the shell form wrapped by SHELL",
      'FROM busybox\nSHELL ["/bin/ash", "-ec"]\nENTRYPOINT top -b',
      { Env: ["PATH=/bin"], Shell: ["/bin/ash", "-ec"], Entrypoint: ["/bin/ash", "-ec", "top -b"] },
    ],
    [
      "loses the base image's command with a new entrypoint",
      'FROM busybox\nENTRYPOINT ["top"]',
      { Env: ["PATH=/bin"], Entrypoint: ["top"] },
    ],
    [
      "keeps a command of its own with an entrypoint after it",
      'FROM busybox\nCMD ["a"]\nENTRYPOINT ["top"]',
      { Env: ["PATH=/bin"], Cmd: ["a"], ArgsEscaped: true, Entrypoint: ["top"] },
    ],
    [
      "loses the command of the stage it is built on with a new entrypoint",
      'FROM busybox AS a\nCMD ["a"]\nFROM a\nENTRYPOINT ["top"]',
      { Env: ["PATH=/bin"], ArgsEscaped: true, Entrypoint: ["top"] },
    ],
    [
      "sets variables in their place, those of one instruction at once",
      "FROM busybox\nENV A=1 B=2\nENV A=3 C=$A PATH=/x:$PATH",
      { Env: ["PATH=/x:/bin", "A=3", "B=2", "C=1"], Cmd: ["sh"] },
    ],
    [
      "exposes ranges of ports with their protocols",
      "FROM busybox\nEXPOSE 80 8000-8001/udp",
      { Env: ["PATH=/bin"], Cmd: ["sh"], ExposedPorts: { "80/tcp": {}, "8000/udp": {}, "8001/udp": {} } },
    ],
    [
      "has health checks in nanoseconds",
      "FROM busybox\nHEALTHCHECK --interval=90s --retries=3 CMD true",
      {
        Env: ["PATH=/bin"],
        Cmd: ["sh"],
        Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 90e9, Retries: 3 },
      },
    ],
    [
      "has user, volumes, signal and working directory",
      "FROM busybox\nUSER app:app\nVOLUME /a /b\nSTOPSIGNAL SIGRTMIN+3\nWORKDIR /x\nWORKDIR y/../z",
      {
        Env: ["PATH=/bin"],
        Cmd: ["sh"],
        User: "app:app",
        Volumes: { "/a": {}, "/b": {} },
        StopSignal: "SIGRTMIN+3",
        WorkingDir: "/x/z",
      },
    ],
    [
      "keeps triggers for those who build on it",
      "FROM busybox\nONBUILD RUN make\nONBUILD COPY . /src",
      { Env: ["PATH=/bin"], Cmd: ["sh"], OnBuild: ["RUN make", "COPY . /src"] },
    ],
    ["leaves empty lists out", "FROM busybox\nCMD []", { Env: ["PATH=/bin"], ArgsEscaped: true }],
  ];
  for (const [name, dockerfile, expected] of cases)
    test(name, async () => {
      const { targets } = await build(dockerfile);
      expect(targets[0]!.config.config as Record<string, unknown>).toEqual(expected);
    });

  test("gets the request's labels over those of the file", async () => {
    const { targets } = await build("FROM busybox\nLABEL a=1 b=2", { request: { labels: { a: "x" } } });
    expect(targets[0]!.config.config?.Labels).toEqual({ a: "x", b: "2" });
  });

  test("has labels of any name", async () => {
    const { targets } = await build("FROM busybox\nLABEL __proto__=a constructor=b");
    expect(Object.entries(targets[0]!.config.config?.Labels ?? {})).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  test("does not take over what BuildKit does not know", async () => {
    const base = image({ Cmd: ["a"], StopTimeout: 5 });
    const { targets } = await build("FROM base", { images: { "docker.io/library/base:latest": base } });
    expect(targets[0]!.config.config?.StopTimeout).toBeUndefined();
  });

  test("has the author of MAINTAINER", async () => {
    const { targets } = await build("FROM scratch\nMAINTAINER me <me@example.org>");
    expect(targets[0]!.config.author).toBe("me <me@example.org>");
  });
});

describe("the history", () => {
  test("has the base image's entries first, and says which instructions left a layer", async () => {
    const result = await build(`FROM busybox
ENV A="1 2" B=3
RUN make
RUN ["echo", "a b"]
COPY --chown=1:2 --chmod=644 a b /
WORKDIR /w
WORKDIR /
LABEL l="m n"
CMD ["x", "a\\"b"]
EXPOSE 80 81
VOLUME /a /b
USER me
STOPSIGNAL 9
SHELL ["/bin/sh", "-e"]
HEALTHCHECK --interval=90s --timeout=1500ms CMD ["true"]
ONBUILD RUN x
`);
    expect(history(result)).toEqual([
      "+ base layer",
      "ENV A=1 2 B=3",
      "+ RUN /bin/sh -c make # buildkit",
      "+ RUN echo a b # buildkit",
      "+ COPY --chown=1:2 --chmod=644 a b / # buildkit",
      "+ WORKDIR /w",
      "WORKDIR /",
      "LABEL l=m n",
      'CMD ["x" "a\\"b"]',
      "EXPOSE [80/tcp 81/tcp]",
      "VOLUME [/a /b]",
      "USER me",
      "STOPSIGNAL 9",
      "SHELL [/bin/sh -e]",
      `HEALTHCHECK &{["CMD" "true"] "1m30s" "1.5s" "0s" "0s" '\\x00'}`,
    ]);
    expect(result.targets[0]!.history[0]!.created).toBe("2020-01-01T00:00:00Z");
    expect(result.targets[0]!.history.slice(1).every((one) => one.comment === "buildkit.dockerfile.v0")).toBe(
      true,
    );
  });

  test("has the ARGs that were declared before a RUN", async () => {
    const result = await build("ARG G=g\nFROM busybox\nARG A=1\nARG G\nARG NONE\nENV A=2\nRUN make");
    expect(history(result)).toEqual([
      "+ base layer",
      "ARG A=1",
      "ARG G=g",
      "ARG NONE",
      "ENV A=2",
      "+ RUN |3 A=2 G=g NONE= /bin/sh -c make # buildkit",
    ]);
  });

  test("has the times of SOURCE_DATE_EPOCH", async () => {
    const result = await build("FROM scratch\nCOPY a /", {
      request: { buildArgs: { SOURCE_DATE_EPOCH: "86400" } },
    });
    expect(result.sourceDateEpoch).toBe(86400);
    expect(result.targets[0]!.history[0]!.created).toBe("1970-01-02T00:00:00Z");
  });
});

describe("arguments", () => {
  const commandOf = async (dockerfile: string, buildArgs: Record<string, string> = {}) =>
    operation(await build(dockerfile, { request: { buildArgs } }), "run", "RUN x");

  test("are variables of RUN where they are declared", async () => {
    const { env } = await commandOf("FROM busybox\nARG A=1\nARG B\nARG C=$A-c\nRUN x", { B: "given" });
    expect(env).toEqual(["PATH=/bin", "A=1", "B=given", "C=1-c"]);
  });

  test("before the first FROM count only where they are declared again", async () => {
    const { env } = await commandOf("ARG A=1\nARG B=$A\nFROM busybox\nARG B\nRUN x");
    expect(env).toEqual(["PATH=/bin", "B=1"]);
  });

  test("are inherited by a stage that is built on the one that declares them", async () => {
    const { env } = await commandOf("FROM busybox AS a\nARG A=1\nFROM a\nRUN x");
    expect(env).toEqual(["A=1", "PATH=/bin"]);
  });

  test("tell the platforms", async () => {
    const { env } = await commandOf("FROM busybox\nARG TARGETPLATFORM TARGETARCH BUILDOS TARGETSTAGE\nRUN x");
    expect(env.slice(1)).toEqual([
      "TARGETPLATFORM=linux/amd64",
      "TARGETARCH=amd64",
      "BUILDOS=linux",
      "TARGETSTAGE=default",
    ]);
  });

  test("for proxies reach RUN without a declaration, in both cases, and are no part of the key", async () => {
    const plain = await build("FROM busybox\nRUN x");
    const result = await build("FROM busybox\nRUN x", { request: { buildArgs: { http_proxy: "http://p" } } });
    const run = operation(result, "run", "RUN x");
    expect(run.proxyEnv).toEqual(["HTTP_PROXY=http://p", "http_proxy=http://p"]);
    expect(run.env).toEqual(["PATH=/bin"]);
    expect(result.targets[0]!.vertex!.digest).toBe(plain.targets[0]!.vertex!.digest);
  });

  test("that nobody asks for are told", async () => {
    const buildArgs = {
      A: "",
      B: "",
      HTTPS_PROXY: "",
      TARGETARCH: "",
      BUILDKIT_X: "",
      SOURCE_DATE_EPOCH: "1",
    };
    const result = await build("ARG A\nFROM busybox\nARG Q", { request: { buildArgs } });
    expect(result.unusedBuildArgs).toEqual(["B"]);
  });

  test("set hostname and cache namespace", async () => {
    const result = await build("FROM busybox\nRUN --mount=type=cache,target=/root/.cache/ x", {
      request: { buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: "h", BUILDKIT_CACHE_MOUNT_NS: "ns" } },
    });
    const { hostname, mounts } = operation(result, "run", " x");
    expect(hostname).toBe("h");
    expect(mounts[0]).toMatchObject({ type: "cache", id: "ns//root/.cache" });
  });

  test("refuse a SOURCE_DATE_EPOCH that is no number", async () => {
    expect(await failure("FROM scratch", { request: { buildArgs: { SOURCE_DATE_EPOCH: "soon" } } })).toBe(
      "invalid SOURCE_DATE_EPOCH: soon",
    );
  });
});

describe("steps", () => {
  test("are numbered within their stage, which is named only when there are several", async () => {
    const one = await build("FROM busybox\nWORKDIR /w\nRUN make $A\nCOPY a b");
    expect(names(one)).toEqual([
      "[1/4] FROM docker.io/library/busybox:latest",
      "[2/4] WORKDIR /w",
      "[3/4] RUN make $A",
      "[internal] load build context",
      "[4/4] COPY a b",
    ]);
    const two = await build("FROM busybox AS b\nRUN make\nFROM scratch\nCOPY --from=b /x /");
    expect(names(two)).toEqual([
      "[b 1/2] FROM docker.io/library/busybox:latest",
      "[b 2/2] RUN make",
      "[stage-1 1/1] COPY --from=b /x /",
    ]);
  });

  test("are padded to the width of their number", async () => {
    const result = await build(`FROM busybox\n${"RUN true\n".repeat(10)}`);
    expect(names(result).slice(0, 2)).toEqual([
      "[ 1/11] FROM docker.io/library/busybox:latest",
      "[ 2/11] RUN true",
    ]);
  });

  test("show values of variables that are set, and platforms when there are several", async () => {
    const platforms = [
      { os: "linux", architecture: "amd64" },
      { os: "linux", architecture: "arm64" },
    ];
    const result = await build(
      "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETARCH\nENV A=v\nRUN make $A $B '$A'",
      { request: { platforms } },
    );
    expect(result.targets.map(({ platform }) => platform.architecture)).toEqual(["amd64", "arm64"]);
    expect(result.targets.map(({ vertex }) => vertex!.name)).toEqual([
      "[linux/amd64 2/2] RUN make v $B '$A'",
      "[linux/amd64->arm64 2/2] RUN make v $B '$A'",
    ]);
    expect(result.steps.filter((step) => step.includes("metadata"))).toEqual([
      "[linux/amd64 internal] load metadata for docker.io/library/busybox:latest",
    ]);
  });

  test("keep the lines of their instruction", async () => {
    const result = await build("FROM busybox\n\nRUN a \\\n  b\n");
    const lines = result.targets[0]!.vertex!.ranges.map((range) => range.start.line);
    expect(lines).toEqual([3, 4]);
  });

  test("of equal stages are the same vertices", async () => {
    const result = await build(
      "FROM busybox AS a\nRUN make\nFROM busybox AS b\nRUN make\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=b /x /",
    );
    expect(vertices(result.targets[0]!.vertex)).toHaveLength(4);
  });

  test("ignore the cache with --no-cache, or in the stages of --no-cache-filter", async () => {
    const file = "FROM busybox AS a\nRUN make\nFROM scratch AS b\nCOPY --from=a /x /";
    const ignored = async (request: NonNullable<Parameters<typeof build>[1]>["request"]) => {
      const result = await build(file, request === undefined ? {} : { request });
      return vertices(result.targets[0]!.vertex)
        .filter((one) => one.ignoreCache)
        .map(({ name }) => name);
    };
    expect(await ignored(undefined)).toEqual([]);
    expect(await ignored({ noCache: true })).toEqual(["[a 2/2] RUN make", "[b 1/1] COPY --from=a /x /"]);
    expect(await ignored({ noCacheFilter: ["B"] })).toEqual(["[b 1/1] COPY --from=a /x /"]);
  });
});

describe("what is refused", () => {
  const cases: [string, string][] = [
    ["FROM scratch\nVOLUME $X", "VOLUME specified can not be an empty string"],
    ["FROM scratch\nSTOPSIGNAL WHAT", "invalid signal: WHAT"],
    ["FROM $X", "base name ($X) should not be blank"],
    ["FROM --platform=$X busybox", "empty platform value from expression $X"],
    ["FROM busybox\nRUN --network=host x", "network.host is not allowed"],
    ["FROM busybox\nRUN --security=insecure x", "security.insecure is not allowed"],
    ["FROM busybox\nRUN --mount=target=/ x", 'invalid mount target "/"'],
    [
      "# syntax=example.org/frontend:1\nFROM scratch",
      "frontend example.org/frontend:1 cannot be run: only docker/dockerfile is built in",
    ],
  ];
  for (const [dockerfile, message] of cases)
    test(JSON.stringify(dockerfile), async () => {
      expect(await failure(dockerfile)).toBe(message);
    });

  test("has the lines of the instruction", async () => {
    try {
      await build("FROM scratch\nENV A=1\nVOLUME $X\n");
      throw new Error("compiled");
    } catch (error) {
      expect(error).toMatchObject({ name: "DockerfileError", line: 3, filename: "Dockerfile" });
    }
  });
});

test("entitlements allow the host's network and insecure steps", async () => {
  const request = { entitlements: ["network.host", "security.insecure"] };
  const result = await build("FROM busybox\nRUN --network=host --security=insecure x", { request });
  expect(operation(result, "run", " x")).toMatchObject({ network: "host", security: "insecure" });
});

test("docker/dockerfile and its mirrors are this frontend", async () => {
  for (const image of ["docker/dockerfile:1", "mirror.example.org/docker/dockerfile:1.7-labs"])
    expect((await build(`# syntax=${image}\nFROM scratch`)).targets).toHaveLength(1);
});
