import { existsSync, readFileSync } from "node:fs";
import type { Acceleration, Machine, MachineConfig } from "./machine.ts";
import type { VmSettings } from "./settings.ts";

const programs = ["/usr/bin/qemu-system-x86_64"];

/** QEMU's `microvm`: no PCI, no firmware to speak of, virtio devices on plain memory addresses. */
export function qemu(settings: VmSettings, kvmRuns: () => Promise<boolean>): Machine {
  return {
    name: "qemu",
    program: () => programs.find((path) => existsSync(path)),
    async acceleration(): Promise<Acceleration> {
      if (settings.acceleration === "tcg") return { kind: "emulation", reason: "CORTEN_VM_ACCEL is tcg" };
      if (!existsSync("/dev/kvm")) return { kind: "emulation", reason: "there is no /dev/kvm" };
      if (settings.acceleration === "kvm" || (await kvmRuns())) return { kind: "kvm" };
      return { kind: "emulation", reason: "/dev/kvm is there but does not run guests" };
    },
    devices: ({ kind }) => [
      { path: "/dev/net/tun", major: 10, minor: 200 },
      ...(kind === "kvm" ? [{ path: "/dev/kvm", major: 10, minor: 232 }] : []),
    ],
    argv: (config, acceleration) => commandLine(programs[0]!, config, acceleration),
  };
}

/** A comma begins the next option in QEMU's lists; two are one. */
const escaped = (text: string) => text.replaceAll(",", ",,");

function commandLine(program: string, config: MachineConfig, { kind }: Acceleration): string[] {
  const kvm = kind === "kvm";
  const list = (...options: string[]) => options.join(",");
  return [
    program,
    ...["-name", escaped(config.name), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // libvhost-user serves only devices of virtio 1.
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-M", "microvm,pcie=off,rtc=on,memory-backend=memory"],
    ...(kvm ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,tb-size=128", "-cpu", "max"]),
    ...["-m", `${config.memory}M`, "-smp", String(config.cpus)],
    // Shared with the server of files, which reads requests and writes answers in it.
    ...["-object", `memory-backend-memfd,id=memory,size=${config.memory}M,share=on`],
    ...["-kernel", config.kernel, "-initrd", config.initramfs, "-append", kernelArguments(kvm)],
    ...["-serial", "stdio"],
    ...["-device", "virtio-serial-device", "-chardev", "socket,id=agent,fd=3"],
    ...["-device", "virtserialport,chardev=agent,name=corten"],
    ...["-chardev", `socket,id=files,path=${escaped(config.files)}`],
    ...["-device", "vhost-user-fs-device,chardev=files,tag=shared"],
    ...["-device", "virtio-balloon-device,deflate-on-oom=on,free-page-reporting=on"],
    ...config.networks.flatMap(({ tap, mac }, index) => [
      ...[
        "-netdev",
        list("tap", `id=net${index}`, `ifname=${tap}`, "script=no", "downscript=no", "vhost=off"),
      ],
      ...["-device", `virtio-net-device,netdev=net${index},mac=${mac}`],
    ]),
  ];
}

function kernelArguments(kvm: boolean): string {
  const common =
    "console=ttyS0 quiet loglevel=3 panic=-1 reboot=t edd=off net.ifnames=0 no_timer_check random.trust_cpu=on";
  // Emulated, the clocks that the kernel would measure itself against are the slow part of the start.
  return kvm
    ? common
    : `${common} tsc=reliable tsc_early_khz=${clockRate()} mitigations=off cryptomgr.notests`;
}

/** The time stamp counter of an emulated processor is the host's: its rate in kHz. */
function clockRate(): number {
  const text = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
  return Math.round(Number(text ?? 1000) * 1000);
}
