/**
 * The interface between our virtual machines and the program that runs them (docs/vm.md). QEMU's `microvm` is the one
 * there is; what cloud-hypervisor and Firecracker need is the same: a command line, files to see, and a stream to the agent.
 */

export interface MachineNetwork {
  /** A persistent tap device in the network namespace in which the machine runs. */
  tap: string;
  mac: string;
}

/** A machine to be started. Paths are those its program sees in its container. */
export interface MachineConfig {
  /** Of the container, for the lists of processes. */
  name: string;
  kernel: string;
  initramfs: string;
  /** MiB. */
  memory: number;
  cpus: number;
  /** vhost-user socket of the server of shared files; the tag in the guest is `shared`. */
  files: string;
  networks: readonly MachineNetwork[];
}

/** Why KVM is or is not used. */
export interface Acceleration {
  kind: "kvm" | "emulation";
  /** For `emulation`: in words for the user. */
  reason?: string;
}

export interface Machine {
  /** As in `docker info`: "qemu". */
  readonly name: string;
  /** The program's path, undefined where it is not installed. */
  program(): string | undefined;
  acceleration(): Promise<Acceleration>;
  /** The command line. The stream to the agent is the program's descriptor 3. */
  argv(config: MachineConfig, acceleration: Acceleration): string[];
  /** Device nodes that its container needs. */
  devices(acceleration: Acceleration): readonly { path: string; major: number; minor: number }[];
}
