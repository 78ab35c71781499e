import type { CniResult } from "./types.ts";

/** A result as `crictl inspectp` has it on containerd (go-cni's Result): by interface, under Go's names. */
export function cniInfo(result: CniResult | undefined): object | null {
  if (!result) return null;
  const { interfaces = [], ips = [], routes = [], dns = {} } = result;
  const addresses = (at: number | undefined) =>
    ips
      .filter((ip) => ip.interface === at)
      .map(({ address, gateway = "" }) => ({ IP: address.split("/")[0], Gateway: gateway }));
  const config = (mac: string, sandbox: string, found: object[]) => ({
    IPConfigs: found.length > 0 ? found : null,
    Mac: mac,
    Sandbox: sandbox,
    PciID: "",
    SocketPath: "",
  });
  const named = interfaces.map(({ name, mac = "", sandbox = "" }, at) => {
    // An address of no interface is the default one's.
    const own = name === "eth0" ? [...addresses(at), ...addresses(undefined)] : addresses(at);
    return [name, config(mac, sandbox, own)] as const;
  });
  const rest = interfaces.some(({ name }) => name === "eth0") ? [] : addresses(undefined);
  return {
    Interfaces: { eth0: config("", "", rest), ...Object.fromEntries(named) },
    DNS: [dns],
    Routes: routes,
  };
}
