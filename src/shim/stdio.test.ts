import { expect, test } from "bun:test";
import { loggerCommand } from "./binary-log.ts";
import { destinationOf } from "./stdio.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };

test("FIFO paths go to the monitor as they are, with or without a scheme", () => {
  expect(destinationOf({ ...none, stdin: "/f/in", stdout: "fifo:///f/out", stderr: "/f/err" }, "/d")).toEqual(
    {
      dir: "/d",
      terminal: false,
      stdin: true,
      fifos: { stdin: "/f/in", stdout: "/f/out", stderr: "/f/err" },
    },
  );
});

test("a terminal has no stderr of its own", () => {
  expect(
    destinationOf({ stdin: "", stdout: "/f/out", stderr: "/f/out", terminal: true }, "/d").fifos,
  ).toEqual({ stdout: "/f/out" });
});

test("file:// is a raw log of both outputs", () => {
  const made = destinationOf({ ...none, stdout: "file:///l/x.log", stderr: "file:///l/x.log" }, "/d");
  expect(made.log).toEqual({ path: "/l/x.log", format: "raw" });
  const other = destinationOf({ ...none, stdout: "file:///l/x", stderr: "file:///l/y" }, "/d");
  expect(other.log?.path).toBe("/l/x");
});

test("monitor:// names directory, log, rotation and whether stdin is kept", () => {
  const stdout = "monitor:///run/c/1?log=/l/x-json.log&format=json-file&max-size=1000&max-file=3&stdin=1";
  expect(destinationOf({ ...none, stdout }, "/d")).toEqual({
    dir: "/run/c/1",
    terminal: false,
    stdin: true,
    log: { path: "/l/x-json.log", format: "json-file", maxSize: 1000, maxFiles: 3 },
  });
});

test("what cannot be served is refused by name", () => {
  expect(() => destinationOf({ ...none, stdout: "binary://logger" }, "/d")).toThrow(/no absolute path/);
  expect(() => destinationOf({ ...none, stdout: "vsock://3:1" }, "/d")).toThrow(/vsock:/);
  expect(() => destinationOf({ ...none, stdout: "relative" }, "/d")).toThrow(/relative is not an absolute/);
  expect(() => destinationOf({ ...none, stdout: "monitor:///d?format=xml" }, "/d")).toThrow(/xml/);
  expect(() => destinationOf({ ...none, stdout: "monitor:///d?max-size=-1" }, "/d")).toThrow(/max-size/);
});

test("a logging program gets its parameters as arguments, and the outputs by FIFOs beside the monitor", () => {
  expect(loggerCommand("binary:///bin/log%20it?id=1&quiet=&x=a%20b")).toEqual([
    "/bin/log it",
    "id",
    "1",
    "quiet",
    "x",
    "a b",
  ]);
  const stdout = "binary:///bin/logger";
  expect(destinationOf({ ...none, stdout, stderr: stdout }, "/d/init").fifos).toEqual({
    stdout: "/d/init-stdout",
    stderr: "/d/init-stderr",
  });
});
