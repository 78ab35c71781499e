import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Builder } from "../../build/builder.ts";
import type { Uploads } from "../../build/context/index.ts";
import type { BuildServices } from "../../build/types.ts";
import type { DaemonConfig } from "../config.ts";
import { defaultProfile, ensureProfile } from "../container/apparmor.ts";
import { runtimeOf } from "../container/start.ts";
import type { Daemon } from "../daemon.ts";
import type { BuildNetworks } from "./network.ts";

/** The builder, opened by the first who needs it: a daemon that never builds loads nothing of it. */
export class Builds {
  readonly #daemon: Daemon;
  #builder: Promise<Builder> | undefined;
  #uploads: Promise<Uploads> | undefined;
  #network: BuildNetworks | undefined;
  readonly root: string;
  readonly #execRoot: string;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
    this.root = join(daemon.config.dataRoot, "build");
    this.#execRoot = join(daemon.config.execRoot, "build");
  }

  /** True when there is something to prune or to count. */
  get used(): boolean {
    return this.#builder !== undefined || existsSync(join(this.root, "cache.db"));
  }

  builder(): Promise<Builder> {
    this.#builder ??= this.#open();
    // The next request may have more luck.
    this.#builder.catch(() => {
      this.#builder = undefined;
    });
    return this.#builder;
  }

  /** Opens the builder at once when steps of a killed daemon are to be ended. */
  async adopt(): Promise<void> {
    if (existsSync(this.#execRoot) && readdirSync(this.#execRoot).length > 0) await this.builder();
  }

  uploads(): Promise<Uploads> {
    this.#uploads ??= import("../../build/context/index.ts").then(({ openUploads }) =>
      openUploads(this.root),
    );
    return this.#uploads;
  }

  async #open(): Promise<Builder> {
    const daemon = this.#daemon;
    const [{ Builder }, { buildNetwork }, { buildStdio }, { buildRegistry, imageResolver }, { stepSpec }] =
      await Promise.all([
        import("../../build/builder.ts"),
        import("./network.ts"),
        import("./stdio.ts"),
        import("./images.ts"),
        import("./step-spec.ts"),
      ]);
    this.#network = buildNetwork(daemon);
    const services: BuildServices = {
      client: daemon.containerd,
      snapshotter: daemon.config.snapshotter,
      root: this.root,
      execRoot: this.#execRoot,
      images: imageResolver(daemon),
      registry: buildRegistry(daemon),
      network: this.#network,
      stdio: buildStdio(daemon),
      spec: (step) => stepSpec(daemon, step),
      ready: () => ensureProfile(daemon, daemon.apparmor.supported ? defaultProfile : undefined),
      runtime: runtimeOf(daemon, daemon.config.defaultRuntime),
      hidesEnvironment: daemon.inProcess && isOwn(daemon.config.runtimes[daemon.config.defaultRuntime]),
      cgroupParent: daemon.config.cgroupParent,
    };
    return Builder.open(services);
  }

  async close(): Promise<void> {
    await (await this.#builder?.catch(() => undefined))?.close();
    await this.#network?.close();
  }
}

/** The runtime that is a part of this program. */
const isOwn = (runtime: DaemonConfig["runtimes"][string] | undefined): boolean =>
  runtime !== undefined && runtime.path === undefined && runtime.type === undefined;
