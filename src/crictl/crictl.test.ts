import { describe, expect, test } from "bun:test";
import { ContainerConfigSchema } from "../../proto/gen/runtime/v1/container_config_pb.ts";
import { PodSandboxConfigSchema } from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { emptyOptions, parseConfig, updated } from "./config-file.ts";
import { newest, parseLabels } from "./filters.ts";
import { bool, int, parseLine, string, strings } from "./flags.ts";
import { fixedWidth, nanoseconds, parseCri, parserFor } from "./logs/parse.ts";
import { parseObject } from "./objects.ts";
import { goJson } from "./output/json.ts";
import { yaml } from "./output/yaml.ts";
import { parseCreds } from "./pull-options.ts";
import { parsePorts } from "./streams/port-forward.ts";
import { outcome } from "./streams/session.ts";

const table = [
  bool("all,a", ""),
  bool("quiet,q", ""),
  int("last,n", ""),
  string("output,o", ""),
  strings("label", ""),
];
const problem = (words: string[], shortOptions = true) => {
  try {
    parseLine(table, words, { shortOptions });
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
};

describe("flags", () => {
  test("one dash or two are the same, and short switches go together", () => {
    const { flags, args } = parseLine(table, ["-aq", "--last=3", "-output", "json", "x", "-a"], {
      shortOptions: true,
    });
    expect([flags.is("all"), flags.is("quiet"), flags.number("last"), flags.text("output")]).toEqual([
      true,
      true,
      3,
      "json",
    ]);
    expect(args).toEqual(["x", "-a"]);
  });
  test("lists are split at commas and may be repeated", () => {
    expect(parseLine(table, ["--label", "a=1,b=2", "--label", "c=3"]).flags.list("label")).toEqual([
      "a=1",
      "b=2",
      "c=3",
    ]);
  });
  test("what does not fit is told in Go's words", () => {
    expect(problem(["--bogus"])).toBe("flag provided but not defined: -bogus");
    expect(problem(["-aq"], false)).toBe("flag provided but not defined: -aq");
    expect(problem(["-n"])).toBe("flag needs an argument: -n");
    expect(problem(["-n", "x"])).toBe('invalid value "x" for flag -n: parse error');
    expect(problem(["-a=x"])).toBe('invalid boolean value "x" for -a: parse error');
    expect(problem(["---a"])).toBe("bad flag syntax: ---a");
  });
});

describe("configuration of pods and containers", () => {
  test("YAML and JSON say the same, with numbers for enums and text for values of the environment", () => {
    const text =
      "metadata:\n  name: a\nimage: {image: b}\nenvs:\n- {key: K, value: 'ü'}\nlinux:\n  resources:\n    memory_limit_in_bytes: 1048576\n  security_context:\n    namespace_options: {pid: 1}\n    run_as_user: {value: 7}\n";
    const config = parseObject(ContainerConfigSchema, text);
    expect(config).toEqual(parseObject(ContainerConfigSchema, JSON.stringify(Bun.YAML.parse(text))));
    expect(Buffer.from(config.envs[0]!.value).toString()).toBe("ü");
    expect(config.linux?.resources?.memoryLimitInBytes).toBe(1048576n);
    expect(config.linux?.securityContext?.namespaceOptions?.pid).toBe(1);
    expect(config.linux?.securityContext?.runAsUser?.value).toBe(7n);
  });
  test("an empty object is set, and a wrong type is refused with its place", () => {
    expect(parseObject(PodSandboxConfigSchema, '{"linux":{}}').linux).toBeDefined();
    expect(() => parseObject(PodSandboxConfigSchema, '{"labels":[1]}')).toThrow("PodSandboxConfig.labels");
  });
});

describe("crictl.yaml", () => {
  test("what is set keeps comments, order and other lines", () => {
    const text = "# ours\ntimeout: 2 # seconds\nruntime-endpoint: unix:///a\n";
    const options = { ...parseConfig(text), timeout: 9, debug: true };
    const out = updated(text, options);
    expect(out).toStartWith("# ours\ntimeout: 9 # seconds\nruntime-endpoint: unix:///a\n");
    expect(parseConfig(out)).toEqual(options);
  });
  test("an unknown option and a wrong value are refused", () => {
    expect(() => parseConfig("nope: 1\n")).toThrow("Config option 'nope' is not valid");
    expect(() => parseConfig("debug: maybe\n")).toThrow("parsing config option 'debug'");
    expect(parseConfig("")).toEqual(emptyOptions());
  });
});

describe("output", () => {
  test("YAML is laid out as Kubernetes' tools do it", () => {
    expect(
      yaml({ b: ["x", { d: "1", c: true }], a: {}, e: [], "a/b": "y: z", t: "one\ntwo\n", n: null }),
    ).toBe('a: {}\na/b: \'y: z\'\nb:\n- x\n- c: true\n  d: "1"\ne: []\n"n": null\nt: |\n  one\n  two\n');
  });
  test("JSON has sorted keys and escapes what HTML takes for its own", () => {
    expect(goJson({ b: "<&>", a: { d: 1, c: 2 } }, 0)).toBe(
      '{"a":{"c":2,"d":1},"b":"\\u003c\\u0026\\u003e"}',
    );
  });
  test("the newest come first, and as many as wanted", () => {
    const items = [1n, 3n, 2n].map((createdAt) => ({ createdAt }));
    expect(newest(items, false, 0).map(({ createdAt }) => createdAt)).toEqual([3n, 2n, 1n]);
    expect(newest(items, true, 0)).toHaveLength(1);
    expect(newest(items, true, 2)).toHaveLength(2);
  });
});

describe("small texts", () => {
  test("labels and credentials", () => {
    expect(parseLabels(["a=b"])).toEqual({ a: "b" });
    expect(() => parseLabels(["a"])).toThrow("incorrectly specified label: a");
    expect(parseCreds("u:p:q")).toEqual({ username: "u", password: "p:q" });
    expect(() => parseCreds(":p")).toThrow("username can't be empty");
  });
  test("ports", () => {
    expect(parsePorts(["80", "8080:80", ":80"])).toEqual([
      { local: 80, remote: 80 },
      { local: 8080, remote: 80 },
      { local: 0, remote: 80 },
    ]);
    for (const wrong of ["1:2:3", "x", "0", "70000"]) expect(() => parsePorts([wrong])).toThrow();
  });
  test("how a session ended", () => {
    expect(outcome('{"status":"Success"}')).toBeUndefined();
    expect(
      outcome(
        '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}',
      )?.message,
    ).toBe("command terminated with exit code 3");
    expect(outcome('{"status":"Failure","message":"why"}')?.message).toBe("why");
    expect(outcome("no json")?.message).toContain("error stream protocol error");
  });
  test("lines of logs", () => {
    const line = Buffer.from("2024-01-02T03:04:05.6Z stdout P part\n");
    expect(Buffer.from(parseCri(line).text).toString()).toBe("part");
    expect(
      parserFor(Buffer.from('{"log":"x\\n","stream":"stderr","time":"2024-01-02T03:04:05Z"}\n'))(
        Buffer.from('{"log":"x\\n","stream":"stderr","time":"2024-01-02T03:04:05Z"}\n'),
      ).stream,
    ).toBe("stderr");
    expect(() => parserFor(Buffer.from("nonsense\n"))).toThrow("unsupported log format");
    expect(fixedWidth("2024-01-02T03:04:05.6Z")).toBe("2024-01-02T03:04:05.600000000Z");
    expect(nanoseconds("1970-01-01T00:00:01.000000002Z")).toBe(1_000_000_002n);
  });
});
