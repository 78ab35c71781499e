/** The main job with our own CLI and images composed from Debian's archives: what `make demo` shows, asserted. */
import { expect, test } from "bun:test";
import { type Engine, startEngine, until } from "../helpers/engine.ts";
import { freePort } from "../helpers/images.ts";

async function must(engine: Engine, ...argv: string[]): Promise<string> {
  const result = await engine.corten(...argv);
  if (result.code !== 0)
    throw new Error(
      `corten ${argv.join(" ")}: ${result.code} ${result.stderr}\n${engine.log().slice(-6000)}`,
    );
  return result.stdout;
}

async function fetchText(url: string): Promise<string | undefined> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(3000) });
    return await answer.text();
  } catch {
    return undefined;
  }
}

test("busybox and nginx from Debian packages: run, publish, exec, logs, ps, trace, explain, stop, rm", async () => {
  await using engine = await startEngine();
  expect(
    await must(engine, "run", "--rm", "deb:busybox-static", "sh", "-c", "echo hello from $((6*7))"),
  ).toBe("hello from 42\n");

  const port = await freePort();
  await must(engine, "run", "-d", "--name", "web", "-p", `127.0.0.1:${port}:80`, "deb:nginx-light");
  const page = await until("nginx's page", () => fetchText(`http://127.0.0.1:${port}/`));
  expect(page).toContain("nginx");
  expect(await must(engine, "port", "web", "80")).toBe(`127.0.0.1:${port}\n`);
  expect(await must(engine, "ps", "--format", "{{.Names}} {{.Image}} {{.Ports}}")).toBe(
    `web deb:nginx-light 127.0.0.1:${port}->80/tcp\n`,
  );
  expect((await engine.corten("exec", "web", "/usr/sbin/nginx", "-v")).stderr).toContain("nginx/");
  await until("the request in the log", async () =>
    (await must(engine, "logs", "web")).includes('"GET / HTTP/1.1" 200'),
  );

  // From another container, by the address of the first.
  const address = (await must(engine, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")).trim();
  expect(
    await must(engine, "run", "--rm", "deb:busybox-static", "wget", "-qO-", `http://${address}/`),
  ).toContain("nginx");
  // In the first one's own network namespace.
  expect(
    await must(
      engine,
      "run",
      "--rm",
      "--network",
      "container:web",
      "deb:busybox-static",
      "wget",
      "-qO-",
      "http://127.0.0.1/",
    ),
  ).toContain("nginx");

  const traced = await engine.corten("run", "--rm", "--trace", "deb:busybox-static", "true");
  for (const layer of ["cli", "dockerd", "containerd", "shim", "runc", "init"])
    expect(traced.stdout + traced.stderr).toMatch(new RegExp(`\\b${layer}\\b`));
  const plan = await must(engine, "explain", "run", "deb:busybox-static", "sh");
  expect(plan).toContain("pivot_root");
  expect(plan).toContain("exec sh");

  await must(engine, "stop", "web");
  expect(await must(engine, "ps", "-a", "--format", "{{.Names}} {{.State}}")).toBe("web exited\n");
  await must(engine, "rm", "web");
  expect(await must(engine, "ps", "-aq")).toBe("");
  expect(await fetchText(`http://127.0.0.1:${port}/`)).toBeUndefined();
}, 240_000);

test("a second engine builds the same digest from the same packages, named in another order", async () => {
  await using engine = await startEngine();
  await must(engine, "pull", "deb:busybox-static,netbase");
  await must(engine, "pull", "deb:netbase,busybox-static");
  const ids = (await must(engine, "images", "--no-trunc", "-q")).split("\n").filter(Boolean);
  expect(new Set(ids).size).toBe(1);
  // The name it was pulled by is a name everywhere.
  await must(engine, "tag", "deb:busybox-static,netbase", "both:1");
  expect(await must(engine, "inspect", "-f", "{{.Id}}", "deb:busybox-static,netbase")).toBe(`${ids[0]}\n`);
  expect(await must(engine, "rmi", "deb:busybox-static,netbase")).toStartWith("Untagged: deb:busybox-static");
}, 240_000);
