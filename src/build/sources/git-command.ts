/** The machine's `git`, kept from everything that is configured on the machine or by a repository. */
import { join } from "node:path";
import { CortenError, unimplemented } from "../../base/errors.ts";
import { refuseAborted } from "../files/turns.ts";
import { redactUrl } from "./redact.ts";

export interface GitSettings {
  /** A directory of ours without a `.gitconfig`. */
  home: string;
  signal: AbortSignal;
  /** What git asks of the network goes by these only. */
  protocols: readonly string[];
  /** Given by the environment, so that no process list shows it: credentials. */
  config: Readonly<Record<string, string>>;
  /** What must not appear in an error. */
  hide: readonly string[];
  sshAuthSocket?: string;
}

const maxOutput = 16 << 20;
/** As BuildKit: checkouts have the modes of an ordinary user's. */
const umask = 0o022;

export class Git {
  readonly #settings: GitSettings;

  constructor(settings: GitSettings) {
    this.#settings = settings;
  }

  with(change: Partial<GitSettings>): Git {
    return new Git({ ...this.#settings, ...change });
  }

  /** Runs `git …args` and gives what it wrote; throws with what it said. */
  async run(
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string> } = {},
  ): Promise<string> {
    const { signal } = this.#settings;
    const program = Bun.which("git");
    if (!program)
      throw unimplemented(
        "failed to find git binary: git repositories as sources need git on this host's PATH",
      );
    refuseAborted(signal);
    const child = this.#spawn([program, ...args], options);
    const abort = () => child.kill("SIGKILL");
    signal.addEventListener("abort", abort, { once: true });
    try {
      const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
      refuseAborted(signal);
      if (child.exitCode !== 0) {
        const how = child.signalCode
          ? `was killed by ${child.signalCode}`
          : `exited with status ${child.exitCode}`;
        const said = this.#hidden(errors.trim().slice(-2000));
        throw new CortenError("unknown", `git ${args[0] === "-c" ? args[2] : args[0]} ${how}: ${said}`);
      }
      return output;
    } finally {
      signal.removeEventListener("abort", abort);
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
  }

  #spawn(command: string[], options: { cwd?: string; env?: Record<string, string> }) {
    const before = process.umask(umask);
    try {
      return Bun.spawn(command, {
        cwd: options.cwd ?? this.#settings.home,
        env: { ...this.#environment(), ...options.env },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
    } finally {
      process.umask(before);
    }
  }

  #environment(): Record<string, string> {
    const { home, protocols, config, sshAuthSocket } = this.#settings;
    const settings: Record<string, string> = {
      // A repository's own hooks, monitors and editors do not run.
      "core.hooksPath": "/dev/null",
      "core.fsmonitor": "false",
      "core.askPass": "true",
      "credential.helper": "",
      "init.defaultBranch": "master",
      "advice.detachedHead": "false",
      "gc.auto": "0",
      "maintenance.auto": "false",
      "safe.directory": "*",
      ...config,
    };
    const environment: Record<string, string> = {
      PATH: process.env["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: home,
      XDG_CONFIG_HOME: join(home, "none"),
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_TERMINAL_PROMPT: "0",
      GIT_ALLOW_PROTOCOL: protocols.join(":"),
      GIT_SSH_COMMAND: "ssh -F /dev/null -o BatchMode=yes",
      GIT_CONFIG_COUNT: String(Object.keys(settings).length),
    };
    for (const [index, [key, value]] of Object.entries(settings).entries()) {
      environment[`GIT_CONFIG_KEY_${index}`] = key;
      environment[`GIT_CONFIG_VALUE_${index}`] = value;
    }
    if (sshAuthSocket !== undefined) environment["SSH_AUTH_SOCK"] = sshAuthSocket;
    for (const name of [
      "http_proxy",
      "https_proxy",
      "no_proxy",
      "HTTP_PROXY",
      "HTTPS_PROXY",
      "NO_PROXY",
      "SSL_CERT_FILE",
      "SSL_CERT_DIR",
    ]) {
      const value = process.env[name];
      if (value !== undefined) environment[name] = value;
    }
    return environment;
  }

  #hidden(said: string): string {
    let shown = said;
    for (const secret of this.#settings.hide) if (secret !== "") shown = shown.replaceAll(secret, "xxxxx");
    return shown.replace(/\S+:\/\/\S+/g, redactUrl);
  }
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream as unknown as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length <= maxOutput) parts.push(part);
  }
  if (length > maxOutput)
    throw new CortenError("resource_exhausted", `git wrote more than ${maxOutput} bytes`);
  return Buffer.concat(parts).toString();
}
