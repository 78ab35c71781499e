import { describe, expect, test } from "bun:test";
import { parseFlags } from "../flags/parse.ts";
import { createBody } from "../run/body.ts";
import { containerFlags, createFlags } from "../run/flags.ts";
import { plainRun } from "./run.ts";

const host = ["-H", "unix:///s"];

/** What the usual way sends. */
function usual(argv: string[]) {
  const table = { ...containerFlags, ...createFlags };
  const { values, changed, args } = parseFlags(table, argv, false);
  const body = createBody({ values, changed, image: args[0]!, command: args.slice(1), proxyEnv: [] });
  const detached = { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false };
  return { name: values.name, body: { ...body, ...detached } };
}

describe("a plain command line becomes the request that the usual way makes of it", () => {
  const lines = [
    [],
    ["--rm"],
    ["--name", "web-1.x_Y"],
    ["-l", "a=b", "--label", "c", "--label", "d==", "-l", "a=again"],
    ["-e", "A=1", "--env", "B=", "-e", "C=x=y"],
    ["--network", "none"],
    ["--net", "my_net-1.x"],
    ["--restart", "always"],
    ["--restart", "on-failure", "-u", "1:2", "-w", "/x y"],
    ["--restart", "no", "--rm"],
    ["--entrypoint", "", "-h", "box"],
    ["--user", "ü", "--workdir", "", "--hostname", "", "--cgroup-parent", "/a/b"],
  ];
  const words = [
    ["busybox"],
    ["registry.example.com:5000/a/b:1.2", "sh", "-c", "exit 1"],
    ["a@sha256:00", "--rm"],
  ];
  for (const flags of lines)
    for (const rest of words)
      test([...flags, ...rest].join(" "), () => {
        const found = plainRun([...host, "run", "-d", ...flags, ...rest], {});
        const { name, body } = found!;
        // As JSON, for order and what is undefined count there too.
        expect(JSON.stringify({ name, body })).toBe(JSON.stringify(usual([...flags, ...rest])));
      });
});

describe("what is not plain goes the usual way", () => {
  const lines = [
    ["run", "busybox"],
    ["run", "-d"],
    ["run", "-d", "-it", "busybox"],
    ["run", "-dit", "busybox"],
    ["run", "-d", "-p", "80:80", "busybox"],
    ["run", "-d", "--name=x", "busybox"],
    ["run", "-d", "--name", "a b", "busybox"],
    ["run", "-d", "--name", "", "busybox"],
    ["run", "-d", "-e", "HOME", "busybox"],
    ["run", "-d", "-e", "=x", "busybox"],
    ["run", "-d", "-e", "A=1", "-e", "A=2", "busybox"],
    ["run", "-d", "-l", "a b=c", "busybox"],
    ["run", "-d", "-l", "=c", "busybox"],
    ["run", "-d", "--network", "name=x,alias=y", "busybox"],
    ["run", "-d", "--network", "container:x", "busybox"],
    ["run", "-d", "--network", "a", "--network", "b", "busybox"],
    ["run", "-d", "--restart", "on-failure:3", "busybox"],
    ["run", "-d", "--restart", "always", "--rm", "busybox"],
    ["run", "-d", "--detach", "--", "busybox"],
    ["run", "-d", "deb:nginx-light"],
    ["run", "-d", "Busybox"],
    ["run", "-d", "--help"],
    ["exec", "-d", "x", "run"],
    ["-D", "run", "-d", "busybox"],
  ];
  for (const line of lines)
    test(line.join(" "), () =>
      expect(plainRun([...(line[0] === "-D" ? [] : host), ...line], {})).toBeUndefined(),
    );
});
