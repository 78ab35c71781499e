/** What every verb works with: the program's streams, its configuration, and the daemon. */
import { isCode } from "../base/errors.ts";
import { EngineClient } from "../engine/client.ts";
import { type ConfigFile, configDirectory, readConfig } from "./config/file.ts";
import { chooseDaemon, contextName, type Daemon, type HostChoice } from "./config/host.ts";
import { isTerminal, Output } from "./streams/output.ts";

export interface GlobalOptions extends HostChoice {
  config: string;
  debug: boolean;
}

export class Cli {
  /** `corten`, or `docker` when called by that name. */
  readonly program: string;
  readonly options: GlobalOptions;
  readonly out = new Output(1);
  readonly err = new Output(2);
  #config: ConfigFile | undefined;
  #client: Promise<EngineClient> | undefined;
  #daemon: Daemon | undefined;

  constructor(program: string, options: GlobalOptions) {
    this.program = program;
    this.options = options;
  }

  get configDirectory(): string {
    return configDirectory(this.options.config);
  }

  get config(): ConfigFile {
    this.#config ??= readConfig(this.configDirectory);
    return this.#config;
  }

  get context(): string {
    return contextName(this.options, this.config);
  }

  get stdinIsTerminal(): boolean {
    return isTerminal(0);
  }

  daemon(): Daemon {
    this.#daemon ??= chooseDaemon(this.options, this.config, this.configDirectory);
    return this.#daemon;
  }

  /** The daemon's client, its API version settled. Starts our own daemon when it is wanted and does not answer. */
  client(): Promise<EngineClient> {
    this.#client ??= this.#connect((client) => client.negotiate());
    return this.#client;
  }

  /** The same without a call to ask for the version: for the verbs that are run most (see `EngineClient.assume`). */
  quickClient(): Promise<EngineClient> {
    this.#client ??= this.#connect((client) => client.assume());
    return this.#client;
  }

  async #connect(settle: (client: EngineClient) => Promise<unknown>): Promise<EngineClient> {
    const { endpoint, name: hostName, ours } = this.daemon();
    const { HttpHeaders: headers } = this.config;
    const apiVersion = process.env["DOCKER_API_VERSION"];
    const client = new EngineClient({
      endpoint,
      hostName,
      ...(headers ? { headers } : {}),
      ...(apiVersion ? { apiVersion: apiVersion.replace(/^v/, "") } : {}),
    });
    try {
      await settle(client);
    } catch (error) {
      if (!ours || !isCode(error, "unavailable")) throw error;
      const { startDaemon } = await import("./daemon.ts");
      await startDaemon(this, client);
      await settle(client);
    }
    return client;
  }

  /** Width for help texts, as docker chooses it. */
  get helpWidth(): number {
    return this.out.size().columns || 80;
  }
}
