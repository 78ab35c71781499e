import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressesOf, Cni, parseNetwork } from "./cni.ts";
import { cniInfo } from "./info.ts";
import { endPlugins } from "./plugin.ts";

/** A directory with plugins that write down how they were called. */
function world() {
  const dir = mkdtempSync(join(tmpdir(), "corten-cni-"));
  const plugin = (name: string, script: string) => {
    writeFileSync(
      join(dir, name),
      `#!/bin/sh\ninput=$(cat)\necho "$CNI_COMMAND ${name} $CNI_NETNS $input" >> ${dir}/calls\n${script}\n`,
    );
    chmodSync(join(dir, name), 0o755);
  };
  const calls = () => readFileSync(join(dir, "calls"), "utf8").trim().split("\n");
  const network = (plugins: object[]) =>
    writeFileSync(join(dir, "10.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "n", plugins }));
  return {
    dir,
    plugin,
    calls,
    network,
    cni: new Cni({ binDirs: [dir], confDir: dir }),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

test("ADD calls each plugin with the result of the one before, DEL in reverse with the last result", async () => {
  using at = world();
  at.plugin("one", `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'`);
  at.plugin("two", `[ "$CNI_COMMAND" = DEL ] || echo '{"ips":[{"address":"10.0.0.3/24"}]}'`);
  at.network([{ type: "one" }, { type: "two", capabilities: { portMappings: true } }]);
  const added = at.cni.plan({ args: { A: "b" }, runtimeConfig: { portMappings: [1], dns: {} } });
  await at.cni.add(added, "id", "/ns");
  expect(addressesOf(added.result)).toEqual(["10.0.0.3"]);
  await at.cni.remove(added, "id", "");
  const [first, second, third, fourth] = at.calls();
  expect(first).toStartWith("ADD one /ns ");
  expect(first).not.toContain("prevResult");
  expect(second).toContain('"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}');
  expect(second).toContain('"runtimeConfig":{"portMappings":[1]}');
  expect(third).toStartWith("DEL two  ");
  expect(fourth).toStartWith("DEL one  ");
  expect(fourth).toContain("10.0.0.3");
  at.cni.close();
});

test("a plugin's error is told in its own words, and every plugin is asked to DEL", async () => {
  using at = world();
  at.plugin("bad", `echo '{"code":11,"msg":"no more addresses","details":"in range"}'; exit 1`);
  at.plugin("good", "echo '{}'");
  at.network([{ type: "good" }, { type: "bad" }]);
  const added = at.cni.plan({ args: {}, runtimeConfig: {} });
  const told = await at.cni.add(added, "id", "/ns").then(
    () => "",
    (error: Error) => error.message,
  );
  expect(told).toBe('plugin type="bad" failed (add): no more addresses; in range');
  const failed = await at.cni.remove(added, "id", "/ns").then(
    () => false,
    () => true,
  );
  expect(failed).toBe(true);
  expect(at.calls().at(-1)).toStartWith("DEL good");
  at.cni.close();
});

test("a configuration without a name, or whose plugin is a path, is refused", () => {
  expect(() => parseNetwork('{"type":"bridge"}')).toThrow("no name");
  expect(() => parseNetwork('{"name":"n","plugins":[{"type":"../x"}]}')).toThrow("no type");
  expect(parseNetwork('{"name":"n","type":"bridge","cniVersion":"0.4.0"}').plugins).toHaveLength(1);
});

test("addresses are those of eth0, also in results of old versions", () => {
  const interfaces = [{ name: "br0" }, { name: "eth0", sandbox: "/ns" }];
  const ips = [
    { address: "10.0.0.1/24", interface: 0 },
    { address: "10.0.0.2/24", interface: 1 },
    { address: "fd00::2/64", interface: 1 },
  ];
  expect(addressesOf({ interfaces, ips })).toEqual(["10.0.0.2", "fd00::2"]);
  expect(addressesOf({ ip4: { ip: "10.1.1.1/8" } })).toEqual(["10.1.1.1"]);
});

test("a plugin that a killed server has left is ended, with what it has started; others are left alone", async () => {
  const started = (id: string) =>
    Bun.spawn(["sh", "-c", "sleep 1000 & wait"], { env: { ...process.env, CNI_CONTAINERID: id } });
  const [mine, other] = [started("mine"), started("mine-too")];
  try {
    // Before it executes the shell it still has our environment.
    while (!readFileSync(`/proc/${mine.pid}/environ`, "utf8").includes("CNI_CONTAINERID=mine"))
      await Bun.sleep(5);
    await endPlugins("mine");
    expect(await mine.exited).toBe(137);
    expect(other.exitCode).toBeNull();
  } finally {
    for (const one of [mine, other]) one.kill("SIGKILL");
    await endPlugins("mine-too");
  }
});

test("a runtime's pods may have networks of their own directory, and annotations if a plugin wants them", async () => {
  using at = world();
  using other = world();
  at.network([{ type: "one" }]);
  writeFileSync(
    join(other.dir, "20.conf"),
    JSON.stringify({ name: "own", type: "one", capabilities: { "io.kubernetes.cri.pod-annotations": true } }),
  );
  const request = { args: {}, runtimeConfig: { "io.kubernetes.cri.pod-annotations": { a: "b" }, dns: {} } };
  expect(at.cni.at(undefined)).toBe(at.cni);
  expect(at.cni.at(at.dir)).toBe(at.cni);
  expect(at.cni.plan(request)).toMatchObject({ list: { name: "n" }, runtimeConfig: {} });
  const own = at.cni.at(other.dir);
  expect(own).toBe(at.cni.at(other.dir));
  const planned = own.plan(request);
  expect(planned.list.name).toBe("own");
  expect(planned.runtimeConfig).toEqual({ "io.kubernetes.cri.pod-annotations": { a: "b" } });
  at.cni.close();
});

test("a result is told by interface, under the names that containerd has", () => {
  expect(cniInfo(undefined)).toBeNull();
  const empty = { PciID: "", SocketPath: "" };
  expect(
    cniInfo({
      interfaces: [
        { name: "br0", mac: "aa" },
        { name: "eth0", mac: "bb", sandbox: "/ns" },
      ],
      ips: [{ address: "10.0.0.2/24", gateway: "10.0.0.1", interface: 1 }, { address: "fd00::2/64" }],
      routes: [{ dst: "0.0.0.0/0" }],
    }),
  ).toEqual({
    Interfaces: {
      br0: { ...empty, IPConfigs: null, Mac: "aa", Sandbox: "" },
      eth0: {
        ...empty,
        IPConfigs: [
          { IP: "10.0.0.2", Gateway: "10.0.0.1" },
          { IP: "fd00::2", Gateway: "" },
        ],
        Mac: "bb",
        Sandbox: "/ns",
      },
    },
    DNS: [{}],
    Routes: [{ dst: "0.0.0.0/0" }],
  });
  expect(cniInfo({ ips: [{ address: "10.0.0.2/24" }] })).toMatchObject({
    Interfaces: { eth0: { IPConfigs: [{ IP: "10.0.0.2", Gateway: "" }] } },
  });
});
