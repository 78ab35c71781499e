/** Run by nft.test.ts under `unshare -n`: our encodings, listed by the real `nft` and `ip`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressBytes } from "../../src/sys/netlink/address.ts";
import { deleteFlowsTo, listFlows } from "../../src/sys/netlink/conntrack.ts";
import * as e from "../../src/sys/netlink/expressions.ts";
import { addBridge, addVeth, deleteLink, findLink, listLinks, setLink } from "../../src/sys/netlink/link.ts";
import { concatenate, NftSocket, NftTable } from "../../src/sys/netlink/nftables.ts";
import {
  addAddress,
  addNeighbour,
  addRoute,
  deleteAddress,
  deleteNeighbour,
  deleteRoute,
  listAddresses,
  listRoutes,
  replaceRoute,
} from "../../src/sys/netlink/route.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../src/sys/netlink/socket.ts";
import { createNetns, openNetlinkIn, openNewNetns, removeNetns, withNetns } from "../../src/sys/netns.ts";

const sh = (...argv: string[]): string => execFileSync(argv[0]!, argv.slice(1), { encoding: "utf8" });
const fails = (work: () => void, message: RegExp) =>
  assert.throws(work, (error: Error) => {
    assert.match(error.message, message);
    return true;
  });

export const scenarios: Record<string, () => void> = {
  "nft lists tables, chains, sets, maps and every expression as they were meant"() {
    const socket = new NftSocket();
    const table = new NftTable("ip", "t");
    socket.commit([
      table.add(),
      table.addSet({ name: "names", key: ["ifname"] }),
      ...table.addElements("names", [{ key: e.interfaceName("br0") }, { key: e.interfaceName("br1") }]),
      table.addSet({ name: "pairs", key: ["ifname", "ifname"] }),
      ...table.addElements("pairs", [{ key: concatenate(e.interfaceName("br0"), e.interfaceName("br1")) }]),
      table.addSet({ name: "nets", key: ["ipv4_addr"], interval: true }),
      ...table.addElements("nets", [
        { key: addressBytes("10.0.0.0") },
        { key: addressBytes("10.1.0.0"), end: true },
      ]),
      table.addSet({
        name: "ports",
        key: ["inet_proto", "inet_service"],
        value: ["ipv4_addr", "inet_service"],
      }),
      ...table.addElements("ports", [
        {
          key: concatenate(Uint8Array.of(6), e.portBytes(8080)),
          value: concatenate(addressBytes("172.17.0.2"), e.portBytes(80)),
        },
      ]),
      table.addChain("side"),
      table.addSet({ name: "verdicts", key: ["inet_service"], value: "verdict" }),
      ...table.addElements("verdicts", [
        { key: e.portBytes(22), value: { verdict: "drop" } },
        { key: e.portBytes(80), value: { verdict: "jump", chain: "side" } },
      ]),
      table.addChain("pre", { type: "nat", hook: "prerouting", priority: -100 }),
      table.addChain("post", { type: "nat", hook: "postrouting", priority: 100 }),
      table.addChain("through", { type: "filter", hook: "forward", priority: 0, policy: "drop" }),
      table.addRule("pre", [
        e.fibDestinationType(),
        e.compare("eq", e.hostU32(e.RTN_LOCAL)),
        e.meta("l4proto"),
        e.payload("transport", 2, 2, 1),
        e.lookupMap("ports", 0, 0),
        e.nat("dnat", 0, 1),
      ]),
      table.addRule("pre", [e.immediate(addressBytes("192.0.2.7")), e.nat("dnat", 0)]),
      table.addRule("post", [e.payload("network", 12, 4), e.lookup("nets"), e.masquerade()]),
      table.addRule("post", [
        e.payload("network", 12, 4),
        e.bitwise(addressBytes("255.255.0.0")),
        e.compare("eq", addressBytes("172.17.0.0")),
        e.meta("oifname"),
        e.compare("ne", e.interfaceName("br0")),
        e.masquerade(),
      ]),
      table.addRule("through", [
        e.meta("iifname"),
        e.meta("oifname", 4),
        e.lookup("pairs"),
        e.decide({ verdict: "accept" }),
      ]),
      table.addRule("through", [
        e.meta("oifname"),
        e.lookup("names", true),
        e.counter(),
        e.decide({ verdict: "goto", chain: "side" }),
      ]),
      table.addRule("through", [
        e.meta("l4proto"),
        e.compare("eq", Uint8Array.of(6)),
        e.payload("transport", 2, 2),
        e.lookupVerdict("verdicts"),
      ]),
      table.addRule("side", [
        e.ct("state"),
        e.bitwise(e.hostU32(e.CT_ESTABLISHED | e.CT_RELATED)),
        e.compare("ne", e.hostU32(0)),
        e.decide({ verdict: "accept" }),
      ]),
      table.addRule("side", [
        e.ct("status"),
        e.bitwise(e.hostU32(e.CT_STATUS_DNAT)),
        e.compare("ne", e.hostU32(0)),
        e.decide({ verdict: "return" }),
      ]),
      table.addRule("side", [
        e.meta("l4proto"),
        e.compare("eq", Uint8Array.of(17)),
        e.payload("transport", 2, 2),
        e.range("ne", e.portBytes(10), e.portBytes(20)),
        e.decide({ verdict: "drop" }),
      ]),
    ]);
    assert.equal(
      // Numbers of protocols: their names need /etc/protocols.
      sh("nft", "-p", "list", "ruleset").replace(/\t/g, "  "),
      `table ip t {
  set names {
    type ifname
    elements = { "br0",
           "br1" }
  }

  set pairs {
    type ifname . ifname
    elements = { "br0" . "br1" }
  }

  set nets {
    type ipv4_addr
    flags interval
    elements = { 10.0.0.0/16 }
  }

  map ports {
    type inet_proto . inet_service : ipv4_addr . inet_service
    elements = { 6 . 8080 : 172.17.0.2 . 80 }
  }

  map verdicts {
    type inet_service : verdict
    elements = { 22 : drop, 80 : jump side }
  }

  chain side {
    ct state established,related accept
    ct status dnat return
    udp dport != 10-20 drop
  }

  chain pre {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
    dnat to 192.0.2.7
  }

  chain post {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @nets masquerade
    ip saddr 172.17.0.0/16 oifname != "br0" masquerade
  }

  chain through {
    type filter hook forward priority filter; policy drop;
    iifname . oifname @pairs accept
    oifname != @names counter packets 0 bytes 0 goto side
    tcp dport vmap @verdicts
  }
}
`,
    );
    // What nft writes is what nft reads: its own listing loads.
    const listing = sh("nft", "list", "ruleset");
    sh("nft", "flush", "ruleset");
    execFileSync("nft", ["-f", "-"], { input: listing });
    assert.equal(sh("nft", "list", "ruleset"), listing);
    assert.deepEqual(table.listChains(socket).sort(), ["post", "pre", "side", "through"]);
    assert.deepEqual(table.listSets(socket).sort(), ["names", "nets", "pairs", "ports", "verdicts"]);
    assert.deepEqual(
      table
        .listRules(socket)
        .map(({ chain }) => chain)
        .sort()
        .join(" "),
      "post post pre pre side side side through through through",
    );
  },

  "a batch is all or nothing, and what the kernel refused is named"() {
    const socket = new NftSocket();
    const table = new NftTable("ip", "t");
    const set = { name: "s", key: ["inet_service"] } as const;
    const [one, two] = [{ key: e.portBytes(1) }, { key: e.portBytes(2) }];
    socket.commit([table.add(), table.addSet(set), ...table.addElements("s", [one])]);
    const before = socket.generation();
    fails(
      () => socket.commit([...table.addElements("s", [two]), ...table.addElements("nowhere", [one])]),
      /^netlink add elements to nowhere in table ip t: no such file or directory/,
    );
    fails(() => socket.commit(table.addElements("s", [two, one])), /add elements to s .*: file exists/);
    assert.equal(socket.generation(), before);
    assert.deepEqual(table.listElements(socket, "s"), [{ key: Uint8Array.of(0, 1) }]);
    socket.commit(table.deleteElements("s", [one]));
    assert.deepEqual(table.listElements(socket, "s"), []);
    assert.equal(table.listElements(socket, "nowhere"), undefined);
    assert.ok(socket.generation() > before);
    socket.commit([table.deleteSet("s"), table.addChain("c"), table.addRule("c", [e.counter()])]);
    socket.commit([table.flushRules("c"), table.deleteChain("c")]);
    assert.equal(sh("nft", "list", "ruleset"), "table ip t {\n}\n");
    socket.commit([table.delete()]);
    assert.equal(sh("nft", "list", "ruleset"), "");
  },

  "five thousand elements go in one batch and come back in one dump"() {
    const socket = new NftSocket();
    const table = new NftTable("ip", "t");
    const elements = Array.from({ length: 5000 }, (_, index) => ({ key: e.portBytes(index + 1) }));
    socket.commit([
      table.add(),
      table.addSet({ name: "s", key: ["inet_service"] }),
      ...table.addElements("s", elements),
    ]);
    assert.equal(table.listElements(socket, "s")?.length, 5000);
    assert.equal(sh("nft", "list", "set", "ip", "t", "s").match(/\d+[,\s}]/g)!.length, 5000);
  },

  "ip shows links, addresses, routes and neighbours as they were set, and our dumps agree"() {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    socket.transact([addBridge({ name: "br0", mac: "02:00:00:00:00:01" })]);
    const bridge = findLink(socket, "br0")!;
    socket.transact([
      addVeth({ name: "a", master: bridge.index }, { name: "b", mac: "02:00:00:00:00:02" }),
      setLink("a", { hairpin: true, up: true }),
      setLink("b", { mtu: 1300, noIpv6LinkLocal: true }),
    ]);
    socket.transact([
      setLink(findLink(socket, "b")!.index, { name: "c" }),
      setLink("c", { up: true }),
      // Only an MTU set on an existing bridge stays when ports with another join.
      setLink(bridge.index, { up: true, mtu: 1400 }),
      addAddress({ link: bridge.index, address: "10.9.0.1", prefixLength: 24 }),
      addAddress({ link: bridge.index, address: "2001:db8::1", prefixLength: 64 }),
      addRoute({ gateway: "10.9.0.7" }),
      addRoute({ destination: { address: "10.10.0.0", prefixLength: 16 }, link: bridge.index }),
      addRoute({ destination: { address: "2001:db8:1::", prefixLength: 48 }, gateway: "2001:db8::7" }),
      addNeighbour({ link: bridge.index, address: "10.9.0.7", mac: "02:00:00:00:00:07" }),
    ]);
    const link = (name: string) => JSON.parse(sh("ip", "-j", "-d", "address", "show", "dev", name))[0];
    const shown = link("br0");
    assert.deepEqual([shown.address, shown.mtu, shown.operstate], ["02:00:00:00:00:01", 1400, "UP"]);
    assert.equal(
      shown.addr_info.find((one: { family: string }) => one.family === "inet").broadcast,
      "10.9.0.255",
    );
    assert.equal(link("a").linkinfo.info_slave_data.hairpin, true);
    assert.equal(link("a").master, "br0");
    assert.deepEqual(link("c").addr_info, []);
    const routes = sh("ip", "route") + sh("ip", "-6", "route");
    assert.match(routes, /^default via 10.9.0.7 dev br0 $/m);
    assert.match(routes, /^10.10.0.0\/16 dev br0 scope link $/m);
    assert.match(routes, /^2001:db8:1::\/48 via 2001:db8::7 dev br0 /m);
    assert.match(sh("ip", "neigh"), /^10.9.0.7 dev br0 lladdr 02:00:00:00:00:07 PERMANENT/m);

    assert.deepEqual(
      listLinks(socket)
        .map(({ name, kind }) => `${name} ${kind}`)
        .sort(),
      ["a veth", "br0 bridge", "c veth", "lo "],
    );
    assert.deepEqual(
      listLinks(socket, bridge.index).map(({ name }) => name),
      ["a"],
    );
    const addresses = listAddresses(socket).map(({ address, prefixLength }) => `${address}/${prefixLength}`);
    for (const address of ["10.9.0.1/24", "2001:db8::1/64"]) assert.ok(addresses.includes(address), address);
    assert.deepEqual(
      listRoutes(socket).find(({ destination }) => destination?.address === "10.10.0.0"),
      { destination: { address: "10.10.0.0", prefixLength: 16 }, link: bridge.index },
    );

    socket.transact([
      replaceRoute({ gateway: "10.9.0.8" }),
      deleteRoute({ destination: { address: "10.10.0.0", prefixLength: 16 }, link: bridge.index }),
      deleteNeighbour({ link: bridge.index, address: "10.9.0.7", mac: "02:00:00:00:00:07" }),
      deleteAddress({ link: bridge.index, address: "2001:db8::1", prefixLength: 64 }),
    ]);
    assert.match(sh("ip", "route"), /^default via 10.9.0.8 dev br0 $/m);
    assert.doesNotMatch(
      sh("ip", "route") + sh("ip", "neigh") + sh("ip", "address"),
      /10\.10\.|10.9.0.7|2001:db8/,
    );
    socket.transact([deleteLink("a"), deleteLink(bridge.index)]);
    assert.deepEqual(
      listLinks(socket).map(({ name }) => name),
      ["lo"],
    );
    assert.equal(findLink(socket, "br0"), undefined);
    fails(() => socket.transact([deleteLink("br0")]), /^netlink delete link br0: no such device/);
    fails(
      () => socket.transact([addRoute({ gateway: "203.0.113.1" })]),
      /^netlink add route default via 203.0.113.1: network is unreachable \(Nexthop has invalid gateway\)$/,
    );
    socket.transact([]);
  },

  "a socket opened in another namespace stays there, and the thread comes back"() {
    const dir = mkdtempSync(join(tmpdir(), "corten-netns-"));
    const path = join(dir, "deep", "ns");
    try {
      createNetns(path);
      const here = () => sh("readlink", "/proc/self/ns/net");
      const before = here();
      const inside = openNetlinkIn(path, NETLINK_ROUTE);
      inside.transact([addBridge({ name: "there" })]);
      assert.match(sh("nsenter", `--net=${path}`, "ip", "-br", "link"), /there/);
      assert.doesNotMatch(sh("ip", "-br", "link"), /there/);
      fails(
        () =>
          withNetns(path, () => {
            throw new Error("inside");
          }),
        /^inside$/,
      );
      assert.equal(here(), before);
      fails(() => withNetns(path, async () => {}) as unknown as void, /must be synchronous/);
      assert.equal(here(), before);
      fails(() => createNetns(path), /EEXIST/);
      removeNetns(path);
      removeNetns(path);
      fails(() => void openNetlinkIn(path, NETLINK_ROUTE), /ENOENT/);
      fails(() => void openNetlinkIn(0, NETLINK_ROUTE), /^setns network namespace: invalid argument$/);
      assert.equal(here(), before);
      const { fd, socket } = openNewNetns(NETLINK_ROUTE);
      assert.deepEqual(
        listLinks(socket).map(({ name, up }) => [name, up]),
        [["lo", false]],
      );
      assert.equal(here(), before);
      assert.deepEqual(
        withNetns(fd, () => sh("ip", "-br", "link").match(/^\S+/gm)),
        ["lo"],
      );
      closeSync(fd);
    } finally {
      removeNetns(path);
      rmSync(dir, { recursive: true, force: true });
    }
  },

  "tracked flows to one port are forgotten, the others stay"() {
    const socket = new NftSocket();
    const netlink = new NetlinkSocket(NETLINK_ROUTE);
    netlink.transact([setLink(1, { up: true })]);
    // Without a rule that asks for it the kernel tracks nothing in this namespace.
    sh(
      "nft",
      "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new counter",
    );
    const send = `for (const port of [5001, 5002]) {
      const socket = require("node:dgram").createSocket("udp4");
      socket.send("x", port, "127.0.0.1", () => socket.close());
    }`;
    sh(process.execPath, "-e", send);
    const ports = () =>
      listFlows(socket)
        .map(({ port }) => port)
        .filter((port) => port >= 5001 && port <= 5002)
        .sort();
    assert.deepEqual(ports(), [5001, 5002]);
    socket.transact([deleteFlowsTo(17, 5001)]);
    assert.deepEqual(ports(), [5002]);
  },
};

if (import.meta.main) {
  const scenario = scenarios[process.argv[2] ?? ""];
  if (!scenario) throw new Error(`no scenario ${process.argv[2]}`);
  scenario();
}
