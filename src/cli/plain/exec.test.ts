import { describe, expect, test } from "bun:test";
import { execBody, flags } from "../commands/container/exec.ts";
import { parseFlags } from "../flags/parse.ts";
import { plainExec } from "./exec.ts";

const host = ["-H", "unix:///s"];

describe("a plain command line becomes the request that the usual way makes of it", () => {
  const lines = [
    [],
    ["-u", "1:2", "-w", "/x y"],
    ["--user", "", "--workdir", "ü"],
    ["-e", "A=1", "--env", "B=", "-e", "A=x=y"],
  ];
  const words = [
    ["box", "true"],
    ["web-1.x_Y", "sh", "-c", "exit 1", "--", "-u"],
  ];
  for (const line of lines)
    for (const rest of words)
      test([...line, ...rest].join(" "), () => {
        const found = plainExec([...host, "exec", ...line, ...rest], {});
        const { values, args } = parseFlags(flags, [...line, ...rest], false);
        const usual = execBody(values, { env: values.env, size: {}, detachKeys: "", command: args.slice(1) });
        // As JSON, for order and what is undefined count there too.
        expect(JSON.stringify(found!.body)).toBe(JSON.stringify(usual));
        expect(found!.container).toBe(args[0]!);
      });
});

describe("what is not plain goes the usual way", () => {
  const lines = [
    ["box"],
    ["-d", "box", "true"],
    ["-i", "box", "cat"],
    ["-it", "box", "sh"],
    ["-t", "box", "sh"],
    ["--privileged", "box", "true"],
    ["--env-file", "x", "box", "true"],
    ["--detach-keys", "x", "box", "true"],
    ["--user=1", "box", "true"],
    ["-e", "HOME", "box", "true"],
    ["-e", "=x", "box", "true"],
    ["--", "box", "true"],
    ["a/b", "true"],
    ["--help"],
    ["-u"],
    [],
  ];
  for (const line of lines)
    test(line.join(" "), () => expect(plainExec([...host, "exec", ...line], {})).toBeUndefined());
});
