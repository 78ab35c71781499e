import { assumedApiVersion, defaultApiVersion, minimumApiVersion, versionLess } from "../version.ts";
import { Containers } from "./containers.ts";
import { Execs } from "./exec.ts";
import { Images } from "./images.ts";
import { Networks } from "./networks.ts";
import { type PingResult, System } from "./system.ts";
import { Transport, type TransportOptions } from "./transport.ts";
import { Volumes } from "./volumes.ts";

/**
 * A client of the Engine API: ours or a real dockerd's. One method per call, grouped as the API groups them.
 * Errors are CortenErrors whose text is ready for the user.
 */
export class EngineClient implements Disposable {
  readonly transport: Transport;
  #containers: Containers | undefined;
  #execs: Execs | undefined;
  #images: Images | undefined;
  #networks: Networks | undefined;
  #volumes: Volumes | undefined;
  #system: System | undefined;

  /** `apiVersion` fixes the version (DOCKER_API_VERSION); without it `negotiate` chooses. */
  constructor(options: TransportOptions & { apiVersion?: string }) {
    this.transport = new Transport(options, options.apiVersion ?? defaultApiVersion);
    this.#fixed = options.apiVersion !== undefined;
  }

  readonly #fixed: boolean;

  get containers(): Containers {
    this.#containers ??= new Containers(this.transport);
    return this.#containers;
  }
  get execs(): Execs {
    this.#execs ??= new Execs(this.transport);
    return this.#execs;
  }
  get images(): Images {
    this.#images ??= new Images(this.transport);
    return this.#images;
  }
  get networks(): Networks {
    this.#networks ??= new Networks(this.transport);
    return this.#networks;
  }
  get volumes(): Volumes {
    this.#volumes ??= new Volumes(this.transport);
    return this.#volumes;
  }
  get system(): System {
    this.#system ??= new System(this.transport);
    return this.#system;
  }

  get apiVersion(): string {
    return this.transport.apiVersion;
  }

  /** Asks the daemon which versions it speaks and settles on the newest both know. */
  async negotiate(): Promise<PingResult> {
    const ping = await this.system.ping();
    if (!this.#fixed) {
      const theirs = ping.apiVersion || minimumApiVersion;
      if (versionLess(theirs, this.transport.apiVersion)) this.transport.apiVersion = theirs;
    }
    return ping;
  }

  /**
   * In place of `negotiate`, without a call of its own: connects, and leaves it to the first call to find out that the
   * daemon is older. Not for calls whose body is a stream, or depends on the version.
   */
  assume(): Promise<void> {
    if (!this.#fixed) this.transport.assume(assumedApiVersion);
    return this.transport.open();
  }

  [Symbol.dispose](): void {
    this.transport.close();
  }
}
