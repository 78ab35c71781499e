import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BootstrapResultSchema } from "../../../proto/gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { parseStart, socketOf } from "./bootstrap.ts";

const text = (value: string) => new TextEncoder().encode(value);

test("a shim's start may answer with an address, with JSON or with a message", () => {
  const address = "unix:///run/containerd/s/abc";
  expect(parseStart(text(`${address}\n`))).toEqual({ version: 2, address, protocol: "ttrpc" });
  expect(parseStart(text(JSON.stringify({ version: 3, address, protocol: "ttrpc" })))).toEqual({
    version: 3,
    address,
    protocol: "ttrpc",
  });
  const message = create(BootstrapResultSchema, { version: 3, address, protocol: "ttrpc" });
  expect(parseStart(toBinary(BootstrapResultSchema, message))).toEqual({
    version: 3,
    address,
    protocol: "ttrpc",
  });
  expect(parseStart(text("/containerd-shim/moby/abc/shim.sock"))).toMatchObject({ version: 2 });
});

test("what is no answer, too new or another protocol is refused with a reason", () => {
  expect(() => parseStart(text(""))).toThrow("the shim gave no address");
  expect(() => parseStart(text("panic: oh no"))).toThrow("panic: oh no");
  expect(() => parseStart(text('{"version":3}'))).toThrow("the shim gave no address");
  expect(() => parseStart(text('{"version":4,"address":"unix:///x"}'))).toThrow(
    "unsupported shim version (4)",
  );
  expect(() => parseStart(text('{"version":3,"address":"unix:///x","protocol":"grpc"}'))).toThrow(
    "speaks grpc",
  );
});

test("addresses without a scheme are names of abstract sockets", () => {
  expect(socketOf("unix:///run/s/x")).toBe("/run/s/x");
  expect(socketOf("unix://@abstract")).toBe("\0abstract");
  expect(socketOf("/containerd-shim/x/shim.sock")).toBe("\0/containerd-shim/x/shim.sock");
  expect(() => socketOf("vsock://3:1024")).toThrow("unsupported address");
});
