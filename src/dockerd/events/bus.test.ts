import { expect, test } from "bun:test";
import { Filters } from "../http/filters.ts";
import { Query } from "../http/query.ts";
import { EventBus, eventFilters, matchesEvent } from "./bus.ts";

const filters = (value: unknown) =>
  Filters.parse(new Query(`filters=${encodeURIComponent(JSON.stringify(value))}`), eventFilters);

test("what a listener has not seen of the past it hears live, each event once and in order", () => {
  const bus = new EventBus();
  bus.publish("container", "create", "a");
  const heard: string[] = [];
  const { past, stop } = bus.subscribe((event) => heard.push(event.Action));
  bus.publish("container", "start", "a");
  stop();
  bus.publish("container", "die", "a");
  expect(past.map((event) => event.Action)).toEqual(["create"]);
  expect(heard).toEqual(["start"]);
});

test("times rise strictly, so that a client can go on where it was", () => {
  const bus = new EventBus();
  const times: number[] = [];
  bus.subscribe((event) => times.push(event.timeNano));
  for (let index = 0; index < 50; index++) bus.publish("volume", "create", "v");
  expect(times).toEqual([...times].sort((a, b) => a - b));
});

test("filters choose by type, action, name, id prefix and label", () => {
  const bus = new EventBus();
  const seen: Parameters<typeof matchesEvent>[0][] = [];
  bus.subscribe((event) => seen.push(event));
  bus.publish("container", "exec_create: sh", "abcdef", { name: "web", image: "nginx:1", tier: "front" });
  bus.publish("network", "connect", "net1", { name: "bridge", container: "abcdef" });
  const [exec, network] = seen as [(typeof seen)[0], (typeof seen)[0]];
  expect(matchesEvent(exec, filters({ event: ["exec_create"] }))).toBe(true);
  expect(matchesEvent(exec, filters({ event: { start: true } }))).toBe(false);
  expect(matchesEvent(exec, filters({ container: ["web"] }))).toBe(true);
  expect(matchesEvent(exec, filters({ container: ["abc"] }))).toBe(true);
  expect(matchesEvent(exec, filters({ container: ["other"] }))).toBe(false);
  expect(matchesEvent(exec, filters({ label: ["tier=front"], image: ["nginx"] }))).toBe(true);
  expect(matchesEvent(network, filters({ type: ["container"] }))).toBe(false);
  expect(matchesEvent(network, filters({ container: ["abcdef"] }))).toBe(true);
});
