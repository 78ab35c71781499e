import { expect, test } from "bun:test";
import type { Incoming } from "../../http/server.ts";
import type { Route } from "./router.ts";
import { Router } from "./router.ts";

const routes: Route<null>[] = [
  ["GET /images/{name...}/json", () => {}],
  ["GET /images/json", () => {}],
  ["DELETE /images/{name...}", () => {}],
  ["GET /containers/{id}/json", () => {}],
];
const router = new Router<null>(null, routes, "test");

function find(method: string, target: string) {
  const reply = { header() {} };
  return router.find({
    head: { method, target, version: "1.1", headers: new Map() },
    reply,
  } as unknown as Incoming);
}

test("paths work with and without a version", () => {
  expect(find("GET", "/v1.41/containers/abc/json").call.version).toBe("1.41");
  expect(find("GET", "/containers/abc/json?size=1").call.params["id"]).toBe("abc");
  expect(find("GET", "http://docker/v1.24/containers/abc/json").call.version).toBe("1.24");
});

test("an image's name may have slashes, colons and escapes", () => {
  const { call, route } = find("GET", "/images/localhost:5000/a%2Fb:tag/json");
  expect(route).toBe("GET /images/{name...}/json");
  expect(call.params["name"]).toBe("localhost:5000/a/b:tag");
});

test("versions out of range are refused with Docker's words", () => {
  expect(() => find("GET", "/v1.99/containers/a/json")).toThrow("client version 1.99 is too new");
  expect(() => find("GET", "/v1.10/containers/a/json")).toThrow("client version 1.10 is too old");
});

test("what does not exist is a page not found", () => {
  expect(() => find("GET", "/nosuch")).toThrow("page not found");
  expect(() => find("PATCH", "/containers/a/json")).toThrow("page not found");
});
