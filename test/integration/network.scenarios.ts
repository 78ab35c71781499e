/**
 * What network.test.ts runs, each in a process with network and mount namespaces of its own, so that the
 * machine's network is never touched: `unshare -n -m bun network.scenarios.ts NAME`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { NetworkManager } from "../../src/network/index.ts";
import { eventually, HOST_ADDRESS, inNetns, OUTSIDE_ADDRESS, sh, World } from "./network.world.ts";

const tcp = (containerPort: number, hostPort = 0, hostIp = "") =>
  ({ containerPort, protocol: "tcp", hostPort, hostIp }) as const;
/** Names only: the kernel decides on their states in its own time. */
const veths = () => sh("ip", "-br", "link", "show", "type", "veth").replace(/@.*/g, "").trim();
const rejects = async (work: Promise<unknown>, message: RegExp) => {
  await assert.rejects(work, (error: Error) => {
    assert.match(error.message, message);
    return true;
  });
};

export const scenarios: Record<string, (world: World) => Promise<void>> = {
  async "attach() gives eth0 with Docker's MAC, address, MTU and default route, and lo is up"(world) {
    for (const pool of [0, 1]) {
      const manager = world.open(`engine${pool}`, { pool, bip: `10.9${pool}.0.1/24`, mtu: 1400 });
      if (pool) {
        manager.prepare();
        await eventually("a prepared veth", () => veths().includes("veth"));
      }
      const before = veths();
      const endpoint = await world.container(manager, "a");
      if (pool) assert.ok(before.includes(endpoint.hostInterface), "the prepared veth was used");
      const links = JSON.parse(inNetns(endpoint.sandboxKey, "ip", "-j", "address")) as Array<{
        ifname: string;
        mtu: number;
        address: string;
        flags: string[];
        addr_info: Array<{ local: string; prefixlen: number; broadcast: string }>;
      }>;
      const lo = links.find(({ ifname }) => ifname === "lo")!;
      assert.ok(lo.flags.includes("UP"));
      const eth0 = links.find(({ ifname }) => ifname === "eth0")!;
      assert.ok(eth0.flags.includes("UP") && eth0.flags.includes("LOWER_UP"));
      assert.equal(eth0.mtu, 1400);
      assert.equal(eth0.address, `02:42:0a:5${pool ? "b" : "a"}:00:02`);
      assert.deepEqual(
        eth0.addr_info.map(({ local, prefixlen, broadcast }) => [local, prefixlen, broadcast]),
        [[`10.9${pool}.0.2`, 24, `10.9${pool}.0.255`]],
      );
      assert.match(
        inNetns(endpoint.sandboxKey, "ip", "route"),
        new RegExp(`^default via 10.9${pool}.0.1 dev eth0 \n`),
      );
      await manager.release("a");
      await eventually("the veth goes with its namespace", () => !veths().includes(endpoint.hostInterface));
    }
  },

  async "a published port is reached by localhost, the host's address, itself, a neighbour and from outside"(
    world,
  ) {
    const outside = world.outside();
    const manager = world.open();
    const web = await world.container(manager, "web", [tcp(80, 8080)]);
    const other = await world.container(manager, "other");
    await world.serve(web.sandboxKey, "tcp", 80, "web");
    assert.equal(await world.ask(undefined, "tcp", "127.0.0.1", 8080), `web to ${web.gateway}`);
    assert.match(await world.ask(undefined, "tcp", HOST_ADDRESS, 8080), /^web to /);
    assert.match(await world.ask(undefined, "tcp", web.gateway, 8080), /^web to /);
    assert.equal(await world.ask(outside, "tcp", HOST_ADDRESS, 8080), `web to ${OUTSIDE_ADDRESS}`);
    assert.match(await world.ask(other.sandboxKey, "tcp", HOST_ADDRESS, 8080), /^web to /);
    assert.match(await world.ask(other.sandboxKey, "tcp", other.gateway, 8080), /^web to /);
    assert.match(await world.ask(web.sandboxKey, "tcp", HOST_ADDRESS, 8080), /^web to /);
    await manager.detach("web", "bridge");
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8080), /ECONNREFUSED/);
  },

  async "a published port is reached the same way where bridged packets bypass the host's hooks"(world) {
    const knob = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if (existsSync(knob)) await Bun.write(knob, "0");
    await scenarios[
      "a published port is reached by localhost, the host's address, itself, a neighbour and from outside"
    ]!(world);
  },

  async "a TCP port on all addresses is reached by ::1, with half-closed connections"(world) {
    const manager = world.open();
    const web = await world.container(manager, "web", [tcp(80, 8080)]);
    await world.serve(web.sandboxKey, "tcp", 80, "web");
    assert.deepEqual(
      web.ports.map(({ hostIp, hostPort }) => [hostIp, hostPort]),
      [
        ["0.0.0.0", 8080],
        ["::", 8080],
      ],
    );
    assert.equal(await world.ask(undefined, "tcp", "::1", 8080), `web to ${web.gateway}`);
    await manager.release("web");
    assert.match(await world.ask(undefined, "tcp", "::1", 8080), /ECONNREFUSED/);
  },

  async "a UDP port is published, and one bound to 127.0.0.1 is not seen from outside"(world) {
    const outside = world.outside();
    const manager = world.open();
    const web = await world.container(manager, "web", [
      { containerPort: 53, protocol: "udp", hostPort: 5353 },
      tcp(80, 8080, "127.0.0.1"),
    ]);
    await world.serve(web.sandboxKey, "udp", 53, "dns");
    await world.serve(web.sandboxKey, "tcp", 80, "web");
    assert.equal(await world.ask(outside, "udp", HOST_ADDRESS, 5353), `dns to ${OUTSIDE_ADDRESS}`);
    assert.match(await world.ask(undefined, "udp", "127.0.0.1", 5353), /^dns to /);
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8080), /^web to /);
    assert.match(await world.ask(outside, "tcp", HOST_ADDRESS, 8080), /ECONNREFUSED/);
  },

  async "a UDP client that goes on sending reaches the next container on the port"(world) {
    const outside = world.outside();
    const manager = world.open();
    const dns = [{ containerPort: 53, protocol: "udp", hostPort: 5353 }] as const;
    process.env["SOURCE_PORT"] = "4444";
    for (const name of ["one", "two"]) {
      const container = await world.container(manager, name, [...dns]);
      await world.serve(container.sandboxKey, "udp", 53, name);
      const answer = `${name} to ${OUTSIDE_ADDRESS}`;
      assert.equal(await world.ask(outside, "udp", HOST_ADDRESS, 5353), answer);
      await manager.release(name);
      assert.match(await world.refused(outside, "udp", HOST_ADDRESS, 5353), /^failed/);
    }
  },

  async "an interface does not outlive its container even if something else holds the namespace"(world) {
    const manager = world.open();
    const endpoint = await world.container(manager, "owner", [tcp(80, 8080)]);
    await world.serve(endpoint.sandboxKey, "tcp", 80, "joined");
    await manager.release("owner");
    await eventually("the veth is removed", () => veths() === "");
  },

  async "thousands of published ports are restored in one transaction"(world) {
    const manager = world.open();
    const ports = Array.from({ length: 3000 }, (_, index) => ({
      containerPort: 1000 + index,
      protocol: "udp" as const,
      hostPort: 10000 + index,
    }));
    await world.container(manager, "many", ports);
    const elements = () => sh("nft", "-p", "list", "ruleset").match(/17 \. 1\d{4}/g)?.length ?? 0;
    assert.equal(elements(), 3000);
    sh("nft", "flush", "ruleset");
    await eventually("all are back", () => elements() === 3000);
    await manager.release("many");
    assert.equal(elements(), 0);
  },

  async "a container reaches outside behind the host's address; from outside nothing unpublished is reached"(
    world,
  ) {
    const outside = world.outside();
    const manager = world.open();
    const one = await world.container(manager, "one", [tcp(80, 8080)]);
    await world.serve(outside, "tcp", 7, "outside");
    await world.serve(one.sandboxKey, "tcp", 81, "unpublished");
    assert.equal(await world.ask(one.sandboxKey, "tcp", OUTSIDE_ADDRESS, 7), `outside to ${HOST_ADDRESS}`);
    inNetns(outside, "ip", "route", "add", `${one.ipAddress}/32`, "via", HOST_ADDRESS);
    assert.equal(await world.refused(outside, "tcp", one.ipAddress, 81), "failed: no answer");
    assert.match(await world.ask(undefined, "tcp", one.ipAddress, 81), /^unpublished/);
  },

  async "nobody on a bridge reaches the host's 127.0.0.1 through it"(world) {
    const manager = world.open();
    const bad = await world.container(manager, "bad");
    const secret = createServer((socket) => socket.end("secret"));
    await new Promise<void>((done) => secret.listen(9999, "127.0.0.1", done));
    inNetns(bad.sandboxKey, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet");
    inNetns(bad.sandboxKey, "ip", "address", "del", "127.0.0.1/8", "dev", "lo");
    inNetns(bad.sandboxKey, "ip", "route", "add", "127.0.0.1", "via", bad.gateway, "src", bad.ipAddress);
    assert.equal(await world.refused(bad.sandboxKey, "tcp", "127.0.0.1", 9999), "failed: no answer");
    // The way was open but for the guard: without it the secret is out.
    const table = sh("nft", "list", "tables").match(/corten-\w+/)![0];
    manager.close();
    sh("nft", "flush", "chain", "ip", table, "guard");
    assert.equal(await world.ask(bad.sandboxKey, "tcp", "127.0.0.1", 9999), "secret");
    secret.close();
  },

  async "a port in use is refused in Docker's words, and a failed attach leaves nothing"(world) {
    const manager = world.open();
    await world.container(manager, "first", [tcp(80, 8080)]);
    const links = veths();
    await rejects(
      world.container(manager, "second", [tcp(80, 8081), tcp(80, 8080)]),
      /^driver failed programming external connectivity on endpoint name-of-second \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/,
    );
    await rejects(
      world.container(manager, "third", [tcp(80, 8080, "127.0.0.1")]),
      /Bind for 127\.0\.0\.1:8080 failed: port is already allocated$/,
    );
    const foreign = createServer();
    await new Promise<void>((done) => foreign.listen(8090, "127.0.0.1", done));
    await rejects(
      world.container(manager, "fourth", [tcp(80, 8090)]),
      /failed to bind host port for 0\.0\.0\.0:8090:172\.\d+\.0\.\d+:80\/tcp: address already in use$/,
    );
    foreign.close();
    assert.equal(veths(), links);
    assert.deepEqual(
      manager.endpoints(manager.inspect("bridge").id).map(({ containerId }) => containerId),
      ["first"],
    );
    // 8081 was given back, in the kernel as well.
    const fifth = await world.container(manager, "fifth", [tcp(80, 8081)]);
    assert.equal(fifth.ports[0]?.hostPort, 8081);
    // And the port of a running container is really taken on the host.
    const taker = createServer();
    const error = await new Promise<Error>((done) => taker.once("error", done).listen(8080, "0.0.0.0"));
    assert.match(String(error), /EADDRINUSE/);
  },

  async "ranges give the first free port and ephemeral ports differ"(world) {
    const manager = world.open();
    const range = { containerPort: 80, protocol: "tcp", hostPort: { first: 9000, last: 9001 } } as const;
    const ports = [];
    for (const id of ["a", "b"]) ports.push((await world.container(manager, id, [range])).ports[0]?.hostPort);
    assert.deepEqual(ports, [9000, 9001]);
    await rejects(world.container(manager, "c", [range]), /port is already allocated/);
    const d = await world.container(manager, "d", [tcp(80), tcp(81)]);
    const [first, second] = d.ports;
    assert.notEqual(first?.hostPort, second?.hostPort);
    assert.ok(first!.hostPort >= 32768);
  },

  async "rules that someone flushes come back, and other tables are left alone"(world) {
    const manager = world.open();
    const web = await world.container(manager, "web", [tcp(80, 8080)]);
    await world.serve(web.sandboxKey, "tcp", 80, "web");
    const mine = sh("nft", "list", "ruleset");
    const same = () => sh("nft", "list", "ruleset") === mine;
    sh("nft", "flush", "ruleset");
    await eventually("the table is back after a flush", same);
    assert.equal(await world.ask(undefined, "tcp", "127.0.0.1", 8080), `web to ${web.gateway}`);
    const table = mine.match(/corten-\w+/)![0];
    sh("nft", "delete", "element", "ip", table, "ports", "{ 6 . 8080 }");
    await eventually("one element is back", same);
    sh("nft", "flush", "chain", "ip", table, "postrouting");
    await eventually("one chain is back", same);
    const handle = sh("nft", "-a", "list", "chain", "ip", table, "guard").match(/drop # handle (\d+)/)![1]!;
    sh("nft", "replace", "rule", "ip", table, "guard", "handle", handle, "accept");
    await eventually("a replaced rule is as before", same);
    sh("nft", "add", "table", "ip", "theirs");
    sh("nft", "delete", "table", "ip", table);
    await eventually("our table is back", () => sh("nft", "list", "tables").includes(table));
    assert.match(sh("nft", "list", "tables"), /table ip theirs/);
    // A change while it is gone must not be lost either.
    sh("nft", "flush", "ruleset");
    await manager.release("web");
    assert.doesNotMatch(sh("nft", "list", "ruleset"), /8080/);
  },

  async "kill -9: traffic goes on, and reconcile() keeps the living and removes the rest"(world) {
    const child = spawn(process.execPath, [import.meta.path, "engine", world.dir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise<void>((ready, fail) => {
      child.stdout!.once("data", () => ready());
      child.once("exit", (code) => fail(new Error(`engine exited with ${code}`)));
    });
    const netns = join(world.dir, "engine", "run", "netns");
    child.removeAllListeners("exit");
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await gone;
    assert.equal(readdirSync(netns).length, 3);

    // A container's server runs on without any engine.
    const paths = readdirSync(netns).map((name) => join(netns, name));
    for (const path of paths) await world.serve(path, "tcp", 80, "survivor");
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8001), /^survivor/);

    const manager = world.open();
    const before = manager.endpointsOf("c1")[0]!;
    // What nobody recorded: a veth of a half-made attach.
    const stray = `${before.hostInterface.slice(0, 8)}abcdef0`;
    sh("ip", "link", "add", stray, "type", "veth", "peer", "name", "strayed");
    await manager.reconcile([{ containerId: "c1", sandboxPath: before.sandboxKey }]);
    assert.deepEqual(manager.endpoints(before.networkId), [before]);
    assert.deepEqual(
      readdirSync(netns).map((name) => join(netns, name)),
      [before.sandboxKey],
    );
    await eventually("only c1's veth is left", () => veths().split("\n").length === 1);
    assert.equal(veths(), before.hostInterface);
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8001), /^survivor/);
    assert.match(await world.ask(undefined, "tcp", "::1", 8001), /^survivor/);
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8002), /ECONNREFUSED/);
    assert.doesNotMatch(sh("nft", "list", "ruleset"), /8002/);
    // The reservation is held again, the address is not given again.
    await rejects(world.container(manager, "new", [tcp(80, 8001)]), /port is already allocated/);
    const next = await world.container(manager, "next", [tcp(80, 8002)]);
    assert.equal(next.ipAddress, "172.17.0.6");
  },

  async "killed at any moment of starts and ends, nothing is left after the next start"(world) {
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [import.meta.path, "churn", world.dir], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await new Promise<void>((ready, fail) => {
        child.stdout!.once("data", () => ready());
        child.once("exit", (code) => fail(new Error(`engine exited with ${code}`)));
      });
      // Wherever this lands, what follows must hold.
      await Bun.sleep(Math.random() * 30);
      child.removeAllListeners("exit");
      const gone = new Promise((done) => child.once("exit", done));
      child.kill("SIGKILL");
      await gone;
      const manager = world.open();
      await manager.reconcile([]);
      assert.deepEqual(readdirSync(join(world.dir, "engine", "run", "netns")), []);
      assert.deepEqual(manager.endpoints(manager.inspect("bridge").id), []);
      assert.doesNotMatch(sh("nft", "-p", "list", "ruleset"), /6 \. \d+ :/);
      await eventually("no veth", () => veths() === "");
      assert.doesNotMatch(sh("cat", "/proc/self/mounts"), new RegExp(world.dir));
      manager.close();
    }
  },

  async "engines side by side have subnets, tables and bridges of their own"(world) {
    const one = world.open("one");
    const two = world.open("two");
    const a = await world.container(one, "a", [tcp(80, 8001)]);
    const b = await world.container(two, "b", [tcp(80, 8002)]);
    assert.equal(a.ipAddress, "172.17.0.2");
    assert.equal(b.ipAddress, "172.18.0.2");
    await world.serve(a.sandboxKey, "tcp", 80, "a");
    await world.serve(b.sandboxKey, "tcp", 80, "b");
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8001), /^a to/);
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8002), /^b to/);
    assert.equal(await world.refused(a.sandboxKey, "tcp", b.ipAddress, 80), "failed: no answer");
    await rejects(world.container(two, "c", [tcp(80, 8001)]), /address already in use/);
    await one.destroy();
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", 8002), /^b to/);
    await two.destroy();
    assert.equal(sh("nft", "list", "ruleset"), "");
    await eventually("no interface but lo", () => sh("ip", "-br", "link").trim().split("\n").length === 1);
    assert.doesNotMatch(sh("cat", "/proc/self/mounts"), new RegExp(world.dir));
  },

  async "engines that start at the same moment do not take the same subnet"(world) {
    const names = ["e1", "e2", "e3", "e4"];
    await Promise.all(
      names.map(
        (name) =>
          new Promise<void>((done, fail) =>
            spawn(process.execPath, [import.meta.path, "open", world.dir, name], { stdio: "inherit" }).once(
              "exit",
              (code) => (code === 0 ? done() : fail(new Error(`exit ${code}`))),
            ),
          ),
      ),
    );
    const subnets = names.map((name) => world.open(name).inspect("bridge").ipam.config[0]?.subnet);
    assert.equal(new Set(subnets).size, names.length);
  },

  async "the default bridge avoids the host's own networks"(world) {
    sh("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan2");
    sh("ip", "address", "add", "172.17.5.1/24", "dev", "lan");
    sh("ip", "link", "set", "lan", "up");
    sh("ip", "route", "add", "172.18.0.0/15", "dev", "lan");
    // A VPN's way to say "everything" takes nothing.
    sh("ip", "route", "add", "128.0.0.0/1", "dev", "lan");
    const manager = world.open();
    assert.equal(manager.inspect("bridge").ipam.config[0]?.subnet, "172.20.0.0/16");
    manager.close();
    // Unused, it moves out of the way of what the host got meanwhile.
    sh("ip", "address", "add", "172.20.9.9/24", "dev", "lan");
    assert.equal(world.open().inspect("bridge").ipam.config[0]?.subnet, "172.21.0.0/16");
    assert.match(
      sh("ip", "-br", "-4", "address", "show", "type", "bridge"),
      /^\S+ +DOWN +172.21.0.1\/16 *\n$/,
    );
  },

  async "a bridge named by flag is adopted with its address, unless it is something else"(world) {
    sh("ip", "link", "add", "mine", "type", "bridge");
    sh("ip", "address", "add", "10.44.0.5/24", "dev", "mine");
    const manager = world.open("named", { bridgeName: "mine" });
    const endpoint = await world.container(manager, "a");
    assert.deepEqual([endpoint.gateway, endpoint.ipAddress], ["10.44.0.5", "10.44.0.1"]);
    assert.match(sh("ip", "link", "show", "dev", "mine"), /UP/);
    sh("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable2");
    assert.throws(
      () => world.open("wrong", { bridgeName: "cable" }),
      /interface cable exists and is not a bridge/,
    );
  },

  async "a user's network that cannot be brought up does not keep the engine from starting"(world) {
    const manager = world.open();
    const red = await manager.create({ name: "red" });
    manager.close();
    const bridge = `br-${red.id.slice(0, 12)}`;
    sh("ip", "link", "del", bridge);
    sh("ip", "link", "add", bridge, "type", "veth", "peer", "name", "cable2");
    const again = world.open();
    await rejects(world.container(again, "a", [], { network: "red" }), /network red has no bridge/);
    await world.container(again, "b");
    sh("ip", "link", "del", bridge);
  },

  async "many containers that start and end at once share nothing and leave nothing"(world) {
    const manager = world.open("engine", { pool: 3 });
    manager.prepare();
    await eventually("a prepared veth", () => veths().includes("veth"));
    const ids = Array.from({ length: 40 }, (_, index) => `c${index}`);
    const endpoints = await Promise.all(ids.map((id) => world.container(manager, id, [tcp(80), tcp(81)])));
    const unique = (values: unknown[]) => new Set(values).size;
    assert.equal(unique(endpoints.map(({ ipAddress }) => ipAddress)), 40);
    assert.equal(unique(endpoints.map(({ macAddress }) => macAddress)), 40);
    assert.equal(
      unique(endpoints.flatMap(({ ports }) => ports.map(({ hostIp, hostPort }) => hostIp + hostPort))),
      160,
    );
    const [first, last] = [endpoints[0]!, endpoints.at(-1)!];
    await world.serve(last.sandboxKey, "tcp", 81, "last");
    assert.match(await world.ask(first.sandboxKey, "tcp", last.ipAddress, 81), /^last to/);
    assert.match(await world.ask(undefined, "tcp", "127.0.0.1", last.ports[1]!.hostPort), /^last to/);
    await Promise.all(ids.map((id) => manager.release(id)));
    assert.doesNotMatch(sh("nft", "list", "ruleset"), /172\.17\.0\.\d+ \. 80/);
    manager.close();
    // The pool's are gone with the manager; what a server still holds, the sweep of another manager takes.
    const again = world.open();
    await again.reconcile([]);
    await eventually("no veth", () => veths() === "");
  },

  async "user networks are isolated from each other, but published ports are for all"(world) {
    const manager = world.open();
    const red = await manager.create({ name: "red" });
    await manager.create({
      name: "blue",
      ipam: { config: [{ subnet: "10.77.0.0/24", gateway: "10.77.0.254" }] },
    });
    await manager.create({ name: "inner", internal: true });
    const a = await world.container(manager, "a", [tcp(80, 8080)], { network: "red" });
    const a2 = await world.container(manager, "a2", [], { network: "red" });
    const b = await world.container(manager, "b", [], { network: "blue", ipAddress: "10.77.0.9" });
    const c = await world.container(manager, "c", [], { network: "inner" });
    const outside = world.outside();
    await world.serve(outside, "tcp", 7, "outside");
    await world.serve(a.sandboxKey, "tcp", 80, "a");
    assert.equal(b.macAddress, "02:42:0a:4d:00:09");
    assert.equal(await world.ask(a2.sandboxKey, "tcp", a.ipAddress, 80), `a to ${a2.ipAddress}`);
    assert.equal(await world.refused(b.sandboxKey, "tcp", a.ipAddress, 80), "failed: no answer");
    assert.match(await world.ask(b.sandboxKey, "tcp", HOST_ADDRESS, 8080), /^a to/);
    assert.match(await world.ask(b.sandboxKey, "tcp", OUTSIDE_ADDRESS, 7), /^outside to/);
    assert.match(await world.refused(c.sandboxKey, "tcp", OUTSIDE_ADDRESS, 7), /^failed/);
    await rejects(
      manager.remove("red"),
      /^error while removing network: network red id [0-9a-f]{64} has active endpoints$/,
    );
    await rejects(manager.remove("bridge"), /^bridge is a pre-defined network and cannot be removed$/);
    await rejects(manager.create({ name: "red" }), /^network with name red already exists$/);
    await rejects(
      manager.create({ name: "x", ipam: { config: [{ subnet: "10.77.0.128/25" }] } }),
      /^Pool overlaps/,
    );
    assert.deepEqual(
      manager.list().map(({ name }) => name),
      ["bridge", "host", "none", "red", "blue", "inner"],
    );
    for (const id of ["a", "a2"]) await manager.release(id);
    await manager.remove(red.id.slice(0, 8));
    assert.throws(() => manager.inspect("red"), /^CortenError: network red not found$/);
    assert.doesNotMatch(sh("ip", "-br", "link"), new RegExp(red.id.slice(0, 12)));
  },

  async "a running container connects to a second network and keeps a way out when the first goes"(world) {
    const manager = world.open("engine", { pool: 1 });
    manager.prepare();
    await eventually("a prepared veth", () => veths().includes("veth"));
    await manager.create({ name: "red" });
    const first = await world.container(manager, "a");
    const sandbox = { id: first.sandboxId, path: first.sandboxKey };
    const request = { network: "red", containerId: "a", containerName: "a", sandbox };
    const second = await manager.attach(request);
    assert.equal(second.interfaceName, "eth1");
    await rejects(manager.attach(request), /^endpoint with name a already exists in network red$/);
    assert.match(inNetns(sandbox.path, "ip", "route"), new RegExp(`default via ${first.gateway} dev eth0`));
    await manager.detach("a", "bridge");
    assert.match(inNetns(sandbox.path, "ip", "route"), new RegExp(`default via ${second.gateway} dev eth1`));
    assert.doesNotMatch(inNetns(sandbox.path, "ip", "-br", "link"), /eth0/);
    assert.deepEqual(Object.keys(manager.statistics("a")), ["eth1"]);
    // A prepared sandbox that goes elsewhere after all.
    await eventually("a prepared veth", () => /veth/.test(veths()));
    const moved = manager.createSandbox("b", "bridge");
    const b = await manager.attach({ network: "red", containerId: "b", containerName: "b", sandbox: moved });
    assert.equal(b.interfaceName, "eth0");
    assert.match(inNetns(moved.path, "ip", "route"), new RegExp(`default via ${second.gateway} dev eth0`));
  },

  async "host and none are shown with their containers and change nothing"(world) {
    const manager = world.open();
    for (const network of ["host", "none"]) {
      const record = manager.inspect(network);
      const endpoint = await manager.attach({
        network,
        containerId: network,
        containerName: network,
        sandbox: { id: "", path: "" },
      });
      assert.equal(endpoint.ipAddress, "");
      assert.equal(manager.endpoints(record.id).length, 1);
      await manager.release(network);
      assert.equal(manager.endpoints(record.id).length, 0);
    }
    assert.equal(manager.inspect("none").driver, "null");
    assert.equal(veths(), "");
  },

  async "addresses are not used again at once, and not after a restart either"(world) {
    const manager = world.open();
    const addresses = [];
    for (const id of ["a", "b"]) {
      addresses.push((await world.container(manager, id)).ipAddress);
      await manager.release(id);
    }
    manager.close();
    const again = world.open();
    addresses.push((await world.container(again, "c")).ipAddress);
    assert.deepEqual(addresses, ["172.17.0.2", "172.17.0.3", "172.17.0.4"]);
  },
};

/** `churn DIR`: an engine that starts and ends containers until it is killed. */
async function churn(dir: string): Promise<void> {
  const options = { root: join(dir, "engine", "root"), execRoot: join(dir, "engine", "run"), pool: 2 };
  const manager = NetworkManager.open(options);
  manager.prepare();
  for (let number = 0; ; number++) {
    const id = `c${number}`;
    const sandbox = manager.createSandbox(id, "bridge");
    const ports = [tcp(80, 8000 + (number % 3))];
    await manager.attach({ network: "bridge", containerId: id, containerName: id, sandbox, ports });
    if (number > 1) await manager.release(`c${number - 2}`);
    if (number === 0) console.log("ready");
    await Bun.sleep(1);
  }
}

/** `engine DIR`: an engine with three containers that waits to be killed. `open DIR NAME`: only opens one. */
async function child(verb: string, dir: string, name: string): Promise<void> {
  if (verb === "churn") return await churn(dir);
  const options = { root: join(dir, name, "root"), execRoot: join(dir, name, "run"), pool: 1 };
  const manager = NetworkManager.open(options);
  if (verb === "open") return manager.close();
  manager.prepare();
  for (const number of [1, 2, 3]) {
    const sandbox = manager.createSandbox(`c${number}`);
    await manager.attach({
      network: "bridge",
      containerId: `c${number}`,
      containerName: `c${number}`,
      sandbox,
      ports: [tcp(80, 8000 + number)],
    });
  }
  await manager.attach({
    network: "host",
    containerId: "c4",
    containerName: "c4",
    sandbox: { id: "", path: "" },
  });
  await eventually("a prepared veth", () => veths().split("\n").length === 4);
  console.log("ready");
  setInterval(() => {}, 1000);
}

if (import.meta.main) {
  const [name = "", dir = "", engine = "engine"] = process.argv.slice(2);
  if (["engine", "open", "churn"].includes(name)) await child(name, dir, engine);
  else {
    const scenario = scenarios[name];
    if (!scenario) throw new Error(`no scenario ${name}`);
    const world = new World();
    try {
      await scenario(world);
    } finally {
      await world[Symbol.asyncDispose]();
    }
    process.exit(0);
  }
}
