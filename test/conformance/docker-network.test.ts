/** The real docker CLI and the API on names and addresses of networks, legacy links, propagation, settings of old clients. */
import { afterAll, beforeAll, expect } from "bun:test";
import { claimSubnet } from "../helpers/claims.ts";
import { type Engine, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const conform = requires("docker", "docker-registry");
const ready = ["docker", "docker-registry"].every((one) => Bun.which(one));

let engine: Engine;
let registry: TestRegistry;

beforeAll(async () => {
  if (!ready) return;
  registry = await startTestRegistry();
  engine = await startEngine();
  await must("pull", "-q", registry.busybox);
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const must = async (...argv: string[]): Promise<string> => {
  const result = await engine.docker(...argv);
  if (result.code !== 0) throw new Error(`docker ${argv.join(" ")}: ${result.stderr}`);
  return result.stdout;
};
const post = async (path: string, body: unknown) => {
  const response = await fetch(`http://x${path}`, {
    unix: engine.socket,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...((await response.json()) as { message?: string; Id?: string }) };
};

conform("networks have every name that dockerd takes, and are found by it", async () => {
  // dockerd 20.10 takes all of these, and refuses a blank one.
  const names = ["a b", "a/b", "-x", ".x", "é", "x:y"];
  for (const Name of names) expect((await post("/networks/create", { Name })).status).toBe(201);
  for (const Name of ["", "  "]) expect((await post("/networks/create", { Name })).status).toBe(400);
  expect(await must("network", "inspect", "-f", "{{.Name}}", "--", ...names)).toBe(`${names.join("\n")}\n`);
  await must("network", "rm", "--", ...names);
  expect((await post("/networks/create", { Name: "bridge" })).status).toBe(403);
});

conform("auxiliary addresses are shown, and given to nobody", async () => {
  const subnet = await claimSubnet();
  const config = {
    Subnet: `${subnet}.0/24`,
    Gateway: `${subnet}.1`,
    IPRange: `${subnet}.8/30`,
    AuxiliaryAddresses: { a: `${subnet}.8`, b: `${subnet}.9` },
  };
  const ipam = (more: object) => ({ Name: "aux", IPAM: { Config: [{ ...config, ...more }] } });
  expect(await post("/networks/create", ipam({ AuxiliaryAddresses: { a: "10.1.0.5" } }))).toEqual({
    status: 403,
    message: `auxiliary address: (a:10.1.0.5) must belong to the master pool: ${subnet}.0/24`,
  });
  expect((await post("/networks/create", ipam({ AuxiliaryAddresses: { a: "bad" } }))).status).toBe(400);
  expect((await post("/networks/create", ipam({}))).status).toBe(201);
  expect(JSON.parse(await must("network", "inspect", "aux"))[0].IPAM.Config).toEqual([config]);
  const address = ["ip", "-4", "-o", "addr", "show", "eth0"];
  expect(await must("run", "--rm", "--network", "aux", registry.busybox, ...address)).toContain(
    ` ${subnet}.10/`,
  );
  await must("network", "rm", "aux");
});

conform("a link gives the other's names, address and variables, also when that changes", async () => {
  expect((await engine.docker("create", "--link", "nosuch", registry.busybox)).stderr).toContain(
    "could not get container for nosuch: No such container: nosuch",
  );
  await must(
    "run",
    "-d",
    "--name",
    "db",
    "-e",
    "SECRET=x",
    "--expose",
    "80",
    registry.busybox,
    "sleep",
    "600",
  );
  await must(
    "run",
    "-d",
    "--name",
    "web",
    "--link",
    "db:my-store",
    "-e",
    "MY_STORE_NAME=mine",
    registry.busybox,
    "sleep",
    "600",
  );
  const inside = (...argv: string[]) => must("exec", "web", ...argv);
  const address = (await must("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db")).trim();
  const id = (await must("inspect", "-f", "{{.Config.Hostname}}", "db")).trim();
  expect(await inside("cat", "/etc/hosts")).toContain(`${address}\tmy-store ${id} db\n`);
  expect(await must("inspect", "-f", "{{json .HostConfig.Links}}", "web")).toBe('["/db:/web/my-store"]\n');
  const process = await inside("sh", "-c", "tr '\\0' '\\n' < /proc/1/environ");
  for (const environment of [process, await inside("env")]) {
    expect(environment).toContain(`MY_STORE_PORT=tcp://${address}:80\n`);
    expect(environment).toContain(`MY_STORE_PORT_80_TCP_ADDR=${address}\n`);
    expect(environment).toContain("MY_STORE_ENV_SECRET=x\n");
    // What the container says itself comes first.
    expect(environment).toContain("MY_STORE_NAME=mine\n");
    expect(environment).not.toContain("MY_STORE_ENV_PATH");
  }
  // Somebody else takes the address meanwhile.
  await must("stop", "-t", "0", "db");
  await must("run", "-d", "--name", "between", registry.busybox, "sleep", "600");
  await must("start", "db");
  expect(await inside("ping", "-c", "1", "-W", "5", "my-store")).toContain("1 packets received");
  await must("rename", "db", "renamed");
  expect(await must("inspect", "-f", "{{json .HostConfig.Links}}", "web")).toBe(
    '["/renamed:/web/my-store"]\n',
  );
  await must("run", "-d", "--name", "third", "--link", "web", registry.busybox, "sleep", "600");
  expect((await engine.docker("rm", "--link", "third/nosuch")).code).toBe(1);
  expect((await engine.docker("rm", "--link", "third")).stderr).toContain(
    "cannot remove the default link name",
  );
  expect(await must("rm", "--link", "third/web")).toBe("third/web\n");
  expect(await must("inspect", "-f", "{{json .HostConfig.Links}}", "third")).toBe("null\n");
  await must("rm", "-f", "third");
  await must("stop", "-t", "0", "web", "renamed");
  expect((await engine.docker("start", "web")).stderr).toContain(
    "Cannot link to a non running container: /renamed AS /web/my-store",
  );
  await must("start", "renamed");
  await must("start", "web");
  await must("rm", "-f", "web", "renamed");
  await must("rm", "-f", "between");
});

conform("propagation is refused where dockerd refuses it", async () => {
  const run = async (bind: string) =>
    (await engine.docker("run", "--rm", "-v", bind, registry.busybox, "true")).stderr;
  expect(await run("/proc:/x:rshared")).toMatch(
    /path \/proc is mounted on \/proc but it is not a shared mount|^$/,
  );
  expect(await run("/:/x:rshared")).toMatch(/path \/ is mounted on \/ but it is not a shared mount|^$/);
  expect(await run("/:/x:private")).toContain('must use either propagation mode "rslave" or "rshared"');
  expect(await run("/:/x:rslave")).toBe("");
  expect(await run("vol:/x:rslave")).toContain(
    "invalid volume specification: 'vol:/x:rslave': invalid mount config for type \"volume\": field BindOptions must not be specified",
  );
});

conform("settings of the host beside HostConfig count as those of old clients", async () => {
  const create = (name: string, body: object) =>
    post(`/containers/create?name=${name}`, { Image: registry.busybox, ...body });
  const host = async (name: string) => JSON.parse(await must("inspect", name))[0].HostConfig;
  expect((await create("beside", { Memory: 10_000_000, Runtime: "corten", Binds: ["/tmp:/x"] })).status).toBe(
    201,
  );
  expect(await host("beside")).toMatchObject({ Memory: 10_000_000, Runtime: "corten", Binds: ["/tmp:/x"] });
  expect(
    (await create("both", { Memory: 10_000_000, Binds: ["/tmp:/x"], HostConfig: { ReadonlyRootfs: true } }))
      .status,
  ).toBe(201);
  expect(await host("both")).toMatchObject({ Memory: 10_000_000, Binds: null, ReadonlyRootfs: true });
  expect((await create("bad", { Runtime: "nosuch" })).status).toBe(400);
  await must("rm", "beside", "both");
});
