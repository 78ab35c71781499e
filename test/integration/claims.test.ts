/** Ports and subnets that tests choose are theirs alone, with other tests beside them. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { claim, claimOne } from "../helpers/claims.ts";
import { freePort } from "../helpers/images.ts";

test("a port that somebody listens on, or has been given before, is not given", async () => {
  // The kernel gives these to anybody who asks for none of his own.
  const [lowest] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split("\t").map(Number);
  const ports = new Set<number>();
  for (let at = 0; at < 50; at++) ports.add(await freePort());
  expect(ports.size).toBe(50);
  expect(Math.max(...ports)).toBeLessThan(lowest!);
  const listener = Bun.listen({ hostname: "127.0.0.1", port: await freePort(), socket: { data() {} } });
  const { port } = listener;
  const asked: number[] = [];
  const other = claimOne("claims.test", port, port + 2, (number) => {
    asked.push(number);
    return number !== port;
  });
  expect(await other).toBe(port + 1);
  listener.stop(true);
});

test("what another process has claimed cannot be claimed until that has ended", async () => {
  const name = `claims.test/${process.pid}`;
  const helper = join(import.meta.dir, "../helpers/claims.ts");
  const script = `const { claim } = await import(${JSON.stringify(helper)}); console.log(claim(${JSON.stringify(name)})); await new Response(Bun.stdin.stream()).text();`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("true\n");
  expect(claim(name)).toBe(false);
  child.stdin.end();
  expect(await child.exited).toBe(0);
  expect(claim(name)).toBe(true);
});
