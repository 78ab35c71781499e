/** Our command line and docker's on the same daemon and registry: credentials, progress on a terminal, events. */
import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { password, startDockerRegistry, user } from "../helpers/docker-registry.ts";
import { corten, type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { onTerminal } from "../helpers/terminal.ts";

const clients = (engine: Engine) => [
  ["docker", "-H", engine.host],
  [...corten, "-H", engine.host],
];

test("login, push, pull and logout with basic auth are docker's, in config.json and with a helper", async () => {
  await using source = await startTestRegistry();
  await using registry = await startDockerRegistry({ auth: "basic" });
  await using engine = await startEngine();
  const root = mkdtempSync(join(tmpdir(), "corten-login-"));
  try {
    const bin = join(root, "bin");
    mkdirSync(bin);
    const helper = join(bin, "docker-credential-fake");
    writeFileSync(
      helper,
      `#!/bin/sh\nF=${root}/kept\ncase $1 in\nstore) cat >$F;;\nget) cat >/dev/null; cat $F 2>/dev/null || { echo credentials not found in native keychain; exit 1; };;\nerase) cat >/dev/null; rm -f $F;;\nesac\n`,
    );
    chmodSync(helper, 0o755);
    const image = `${registry.host}/private/busybox:1`;
    expect((await engine.docker("pull", "-q", source.busybox)).code).toBe(0);
    expect((await engine.docker("tag", source.busybox, image)).code).toBe(0);
    const configs = [{}, { credsStore: "fake" }, { credHelpers: { [registry.host]: "fake" } }];
    for (const config of configs) {
      const transcripts: string[] = [];
      for (const client of clients(engine)) {
        const folder = join(root, "config");
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder);
        const file = join(folder, "config.json");
        writeFileSync(file, JSON.stringify(config));
        const transcript: unknown[] = [];
        const say = async (input: string, ...argv: string[]) => {
          const env = { DOCKER_CONFIG: folder, PATH: `${bin}:${process.env["PATH"]}` };
          const { code, stdout, stderr } = await run([...client, ...argv], { input, env });
          transcript.push({ argv, code, stdout, stderr }, JSON.parse(readFileSync(file, "utf8")).auths ?? {});
          transcript.push(
            existsSync(join(root, "kept")) && JSON.parse(readFileSync(join(root, "kept"), "utf8")),
          );
          return code;
        };
        const signIn = ["login", "-u", user, "--password-stdin", registry.host];
        expect(await say("wrong\n", ...signIn)).toBe(1);
        expect(await say("", "push", "-q", image)).toBe(1);
        expect(await say(`${password}\n`, ...signIn)).toBe(0);
        expect(await say("", "push", "-q", image)).toBe(0);
        expect(await say("", "pull", image)).toBe(0);
        expect(await say("", "logout", registry.host)).toBe(0);
        expect(await say("", "pull", image)).toBe(1);
        transcripts.push(JSON.stringify(transcript, null, 1));
      }
      expect(transcripts[1]).toBe(transcripts[0]!);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("on a terminal a pull's lines end as docker's; size, detach, attach and exit code work; events are equal", async () => {
  await using registry = await startTestRegistry();
  await using engine = await startEngine();
  const screens: string[] = [];
  for (const client of clients(engine)) {
    await using pull = onTerminal([...client, "pull", registry.busybox], { columns: 130 });
    expect(await pull.exited).toBe(0);
    // More was written than is shown: lines were redrawn.
    expect(pull.raw).toContain("\x1b[");
    screens.push(pull.screen.text());
    await using shell = onTerminal([...client, "run", "-it", "--name", "shell", registry.busybox, "sh"]);
    await shell.waitFor("# ");
    shell.type("while [ \"$(stty size)\" != '41 91' ]; do :; done; echo si''zed\r");
    // A client says nothing when it begins to listen for changes: told again until it has heard.
    await until("the container's terminal to be resized", () => {
      shell.resize(91, 41);
      return shell.raw.includes("sized");
    });
    shell.type("\x10\x11");
    await shell.exited;
    await using attached = onTerminal([...client, "attach", "shell"]);
    attached.type("echo at''tached\r");
    await attached.waitFor("attached");
    attached.type("exit 7\r");
    expect(await attached.exited).toBe(7);
    expect((await engine.docker("rm", "-f", "shell")).code).toBe(0);
    expect((await engine.docker("rmi", "-f", registry.busybox)).code).toBe(0);
  }
  expect(screens[1]).toBe(screens[0]!);
  const end = String(Math.trunc(Date.now() / 1000) + 1);
  for (const format of [[], ["--format", "json"]]) {
    const argv = ["events", "--since", "10m", "--until", end, ...format];
    expect((await engine.corten(...argv)).stdout).toBe((await engine.docker(...argv)).stdout);
  }
});

test("a login on a terminal looks as docker's, with questions, with what is stored, and when that is no good", async () => {
  await using basic = await startDockerRegistry({ auth: "basic" });
  await using token = await startDockerRegistry({ auth: "token" });
  await using engine = await startEngine();
  const root = mkdtempSync(join(tmpdir(), "corten-login-"));
  try {
    const transcripts: string[] = [];
    for (const client of clients(engine)) {
      const folder = join(root, "config");
      const file = join(folder, "config.json");
      const argv = ["env", `DOCKER_CONFIG=${folder}`, ...client, "login"];
      let transcript = "";
      for (const { host } of [basic, token]) {
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder);
        const keep = (secret: string) => {
          const auth = Buffer.from(`${user}:${secret}`).toString("base64");
          writeFileSync(file, JSON.stringify({ auths: { [host]: { auth } } }));
        };
        const session = async (answers: Array<[string, string]>, ...more: string[]) => {
          await using shown = onTerminal([...argv, ...more, host], { columns: 130 });
          for (const [question, answer] of answers) {
            await shown.waitFor(question);
            shown.type(answer);
          }
          const code = await shown.exited;
          // The name of the program, and hints that are told at random.
          transcript += `${code} ${shown.raw}`
            .replaceAll(/(docker|corten) log/g, "PROGRAM log")
            .replaceAll(/\r?\n(What's next|Learn more).*/g, "");
          transcript += existsSync(file) ? readFileSync(file, "utf8") : "";
          return code;
        };
        const name: [string, string] = ["Username: ", `${user}\r`];
        expect(await session([name, ["Password: ", "wrong\r"]])).toBe(1);
        expect(await session([name, ["Password: ", `${password}\r`]])).toBe(0);
        expect(await session([])).toBe(0);
        expect(await session([["Password: ", `${password}\r`]], "-u", user)).toBe(0);
        keep("outdated");
        expect(
          await session([
            [`Username (${user}): `, "\r"],
            ["Password: ", `${password}\r`],
          ]),
        ).toBe(0);
        keep("");
        expect(
          await session([
            [`Username (${user}): `, "\r"],
            ["Password: ", "\r"],
          ]),
        ).toBe(1);
        expect(await session([], "-u", "")).toBe(1);
      }
      transcripts.push(transcript);
    }
    expect(transcripts[1]).toBe(transcripts[0]!);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("POST /auth asks the registry, and answers with dockerd's codes and texts", async () => {
  await using basic = await startDockerRegistry({ auth: "basic" });
  await using token = await startDockerRegistry({ auth: "token" });
  await using open = await startDockerRegistry();
  await using engine = await startEngine();
  const auth = async (body: Record<string, string>) => {
    const response = await fetch("http://x/v1.47/auth", {
      unix: engine.socket,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as { message?: string; Status?: string };
    return [response.status, answer.message ?? answer.Status];
  };
  const good = { username: user, password };
  const wrong = { username: user, password: "wrong" };
  const welcome = [200, "Login Succeeded"];
  for (const { host } of [basic, token, open])
    expect(await auth({ ...good, serveraddress: host })).toEqual(welcome);
  expect(await auth({ ...good, serveraddress: `http://${basic.host}/v1/` })).toEqual(welcome);
  const [b, t] = [`http://${basic.host}/v2/`, `http://${token.host}/v2/`];
  // What dockerd 20.10 answered to the same.
  expect(await auth({ ...wrong, serveraddress: basic.host })).toEqual([
    500,
    `login attempt to ${b} failed with status: 401 Unauthorized`,
  ]);
  expect(await auth({ serveraddress: basic.host })).toEqual([500, `Get "${b}": no basic auth credentials`]);
  expect(await auth({ ...wrong, serveraddress: token.host })).toEqual([
    401,
    `Get "${t}": unauthorized: incorrect username or password`,
  ]);
  expect(await auth({ serveraddress: token.host })).toEqual(welcome);
  expect(await auth({ ...wrong, serveraddress: open.host })).toEqual(welcome);
  expect((await auth({ ...good, serveraddress: "a b c" }))[0]).toBe(400);
});
