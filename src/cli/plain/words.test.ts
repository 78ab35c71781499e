import { describe, expect, test } from "bun:test";
import { plainDaemon } from "./words.ts";

const argv = ["exec", "x", "true"];

describe("a daemon that takes more than its socket is for the usual way", () => {
  for (const name of [
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_API_VERSION",
    "DOCKER_DEFAULT_PLATFORM",
  ])
    test(name, () =>
      expect(plainDaemon(["-H", "unix:///s", ...argv], "exec", { [name]: "x" })).toBeUndefined(),
    );
  test("not on a Unix socket", () => {
    expect(plainDaemon(argv, "exec", { DOCKER_HOST: "tcp://127.0.0.1:1" })).toBeUndefined();
    expect(plainDaemon(["-H", "tcp://127.0.0.1:1", ...argv], "exec", {})).toBeUndefined();
  });
  test("another verb, another flag", () => {
    expect(plainDaemon(argv, "run", {})).toBeUndefined();
    expect(plainDaemon(["-D", ...argv], "exec", {})).toBeUndefined();
  });
});

test("the daemon is the flag's, else DOCKER_HOST's, else our own", () => {
  const env = { DOCKER_HOST: "unix:///b" };
  expect(plainDaemon(["--host", "unix:///a", ...argv], "exec", env)).toEqual({
    socket: "/a",
    chosen: true,
    at: 3,
  });
  expect(plainDaemon(argv, "exec", env)).toEqual({ socket: "/b", chosen: true, at: 1 });
  expect(plainDaemon(argv, "exec", {})).toMatchObject({ chosen: false, at: 1 });
});
