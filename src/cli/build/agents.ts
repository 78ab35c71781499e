/** `--ssh`: sockets of agents that run, and agents of our own for keys in files. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { goQuote } from "../format/quote.ts";
import { cut } from "../run/environment.ts";
import { type BuildSource, isGitSsh } from "./context.ts";
import { buildProblem } from "./csv.ts";

/** An agent's socket, or private keys that an agent is to be started with. */
export type AgentSpec = { socket: string } | { keys: string[] };

type Environment = Readonly<Record<string, string | undefined>>;

/** What is asked for; a context that git fetches by SSH takes the default agent unasked. */
export function agentsOf(
  list: readonly string[],
  context: BuildSource["context"] | undefined,
  env: Environment = process.env,
): Record<string, AgentSpec> {
  const unasked = list.length === 0 && context?.kind === "remote" && isGitSsh(context.url);
  const wanted = unasked && env["SSH_AUTH_SOCK"] ? ["default"] : list.filter((one) => one !== "");
  const out: Record<string, AgentSpec> = {};
  for (const text of wanted) {
    const [name, given = ""] = cut(text, "=");
    const id = name || "default";
    if (out[id] !== undefined) throw buildProblem(`duplicate agent ID ${goQuote(id)}`);
    out[id] = agentSpec(id, given, env);
  }
  return out;
}

function agentSpec(id: string, given: string, env: Environment): AgentSpec {
  const problem = (why: string) => problemOf(id, given, why);
  const paths = given === "" ? [env["SSH_AUTH_SOCK"] ?? ""] : given.split(",");
  if (paths[0] === "") throw problem("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  let socket: string | undefined;
  const keys: string[] = [];
  for (const path of paths) {
    if (socket !== undefined) throw problem("only single socket allowed");
    try {
      if (statSync(path).isSocket()) socket = resolve(path);
      else keys.push(resolve(path));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw problem(code === "ENOENT" ? `stat ${path}: no such file or directory` : message);
    }
  }
  if (socket === undefined) return { keys };
  if (keys.length > 0) throw problem("invalid combination of keys and sockets");
  return { socket };
}

const problemOf = (id: string, given: string, why: string): Error =>
  buildProblem(
    `failed to convert agent config {${id} [${given.replaceAll(",", " ")}] false}: failed to convert agent config for ID: ${goQuote(id)}: ${why}`,
  );

/** Sockets of all agents. Those that are started here hold nothing but the keys, and end with us, also after a kill. */
export async function openAgents(
  specs: Readonly<Record<string, AgentSpec>>,
): Promise<{ sockets: Record<string, string> } & Disposable> {
  const started: Disposable[] = [];
  const end = () => {
    for (const agent of started) agent[Symbol.dispose]();
  };
  const sockets: Record<string, string> = {};
  try {
    for (const [id, spec] of Object.entries(specs)) {
      if ("socket" in spec) sockets[id] = spec.socket;
      else {
        const agent = await startAgent(id, spec.keys);
        started.push(agent);
        sockets[id] = agent.socket;
      }
    }
  } catch (error) {
    end();
    throw error;
  }
  return { sockets, [Symbol.dispose]: end };
}

async function startAgent(id: string, keys: readonly string[]): Promise<{ socket: string } & Disposable> {
  const problem = (why: string) => problemOf(id, keys.join(","), why);
  const program = Bun.which("ssh-agent");
  const add = Bun.which("ssh-add");
  if (!program || !add)
    throw problem("keys in files need ssh-agent and ssh-add (Debian: openssh-client) in the PATH");
  const directory = mkdtempSync(join(tmpdir(), "corten-agent-"));
  const socket = join(directory, "agent.sock");
  // The agent ends with its command, which ends with the pipe that nobody but us holds.
  const agent = Bun.spawn([program, "-a", socket, "sh", "-c", "echo ready; exec cat >/dev/null"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  const end = () => {
    agent.stdin.end();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const { value } = await agent.stdout.getReader().read();
    if (!value) throw problem("ssh-agent did not start");
    for (const key of keys) {
      const added = Bun.spawnSync([add, "-q", key], {
        // A passphrase is asked for by nobody.
        env: { PATH: process.env["PATH"], SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "never" },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
      });
      if (added.exitCode !== 0) throw problem(`failed to parse ${key}: ${added.stderr.toString().trim()}`);
    }
  } catch (error) {
    end();
    throw error;
  }
  return { socket, [Symbol.dispose]: end };
}
