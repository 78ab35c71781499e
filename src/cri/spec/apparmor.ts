/** AppArmor profiles of pods' containers: by the rules of containerd's CRI plugin, or by CRI-O's. */
import { SecurityProfile_ProfileType as ProfileType } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { LinuxContainerSecurityContext } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import { type AppArmor, unconfined } from "../../sys/apparmor/machine.ts";

export type ApparmorRules =
  | { of: "containerd"; disabled: boolean }
  /** `default` is what containers without a wish get. */
  | { of: "cri-o"; default: string };

export const containerdDefault = "cri-containerd.apparmor.d";
export const crioDefault = "crio-default";

type Asked = Pick<LinuxContainerSecurityContext, "apparmor" | "apparmorProfile" | "privileged">;
type Machine = Pick<AppArmor, "supported" | "loaded" | "ensure">;

/** A wish, in the words of today's field or of the one before it. */
type Wish = { kind: "default" | "unconfined" } | { kind: "named"; name: string };

/** The profile of a container's processes, which is loaded then; undefined for none. */
export function apparmorOf(
  rules: ApparmorRules,
  asked: Asked | undefined,
  machine: Machine,
): Promise<string | undefined> {
  return rules.of === "containerd"
    ? containerdProfile(rules.disabled, asked, machine)
    : crioProfile(rules.default, asked, machine);
}

const withoutPrefix = (name: string): string => name.replace(/^localhost\//, "");

async function containerdProfile(
  disabled: boolean,
  asked: Asked | undefined,
  machine: Machine,
): Promise<string | undefined> {
  const fail = (message: string, cause?: unknown) =>
    invalid(`failed to generate apparmor spec opts: ${message}`, cause);
  const wish = containerdWish(asked, fail);
  if (disabled || !machine.supported) {
    if (wish && wish.kind !== "unconfined") throw fail("apparmor is not supported");
    return undefined;
  }
  if (wish?.kind === "unconfined") return undefined;
  if (wish?.kind === "named") {
    if (wish.name === "") throw fail("nil apparmor profile is not supported");
    if (!machine.loaded(wish.name)) throw fail(`apparmor profile not found ${wish.name}`);
    return wish.name;
  }
  if (asked?.privileged) return undefined;
  try {
    await machine.ensure(containerdDefault);
  } catch (error) {
    throw fail(`load apparmor profile ${containerdDefault}: ${messageOf(error)}`, error);
  }
  return containerdDefault;
}

/** Undefined where there is none: that is the default, but no error on a machine without AppArmor. */
function containerdWish(asked: Asked | undefined, fail: (message: string) => Error): Wish | undefined {
  const old = asked?.apparmorProfile ?? "";
  if (!asked?.apparmor) {
    if (old === "") return undefined;
    if (old === "runtime/default" || old === "docker/default") return { kind: "default" };
    if (old === unconfined) return { kind: "unconfined" };
    if (!old.startsWith("localhost/")) throw fail(`invalid profile ${JSON.stringify(old)}`);
    return { kind: "named", name: withoutPrefix(old) };
  }
  const { profileType, localhostRef } = asked.apparmor;
  if (profileType === ProfileType.Localhost) return { kind: "named", name: withoutPrefix(localhostRef) };
  if (localhostRef !== "")
    throw fail("apparmor config invalid LocalhostRef must only be set if ProfileType is Localhost");
  if (profileType === ProfileType.Unconfined) return { kind: "unconfined" };
  if (profileType === ProfileType.RuntimeDefault) return { kind: "default" };
  throw fail("apparmor unknown ProfileType");
}

async function crioProfile(
  fallback: string,
  asked: Asked | undefined,
  machine: Machine,
): Promise<string | undefined> {
  if (!machine.supported || asked?.privileged) return undefined;
  const wish = crioWish(asked);
  if (wish.kind === "unconfined") return unconfined;
  const name = wish.kind === "named" ? wish.name : fallback;
  if (name === unconfined) return unconfined;
  if (name === "") throw invalid("applying apparmor profile: empty localhost AppArmor profile is forbidden");
  if (name === crioDefault) await ensureCrio(machine);
  // The runtime would say so at the start; CRI-O has it made with the container.
  else if (!machine.loaded(name))
    throw invalid(`container create failed: apparmor profile ${JSON.stringify(name)} is not loaded`);
  return name;
}

function crioWish(asked: Asked | undefined): Wish {
  const old = asked?.apparmorProfile ?? "";
  if (!asked?.apparmor) {
    if (old === "" || old === "runtime/default") return { kind: "default" };
    if (old.toLowerCase() === unconfined) return { kind: "unconfined" };
    return { kind: "named", name: withoutPrefix(old) };
  }
  const { profileType, localhostRef } = asked.apparmor;
  if (profileType === ProfileType.RuntimeDefault) return { kind: "default" };
  if (profileType === ProfileType.Unconfined) return { kind: "unconfined" };
  return { kind: "named", name: withoutPrefix(localhostRef) };
}

async function ensureCrio(machine: Machine): Promise<void> {
  try {
    await machine.ensure(crioDefault);
  } catch (error) {
    throw invalid(
      `installing default AppArmor profile ${JSON.stringify(crioDefault)} failed: ${messageOf(error)}`,
      error,
    );
  }
}

/** CRI-O's `apparmor_profile` when the server starts or reads its files again: ours is loaded, another has to be there. */
export async function loadCrioProfile(name: string, machine: Machine): Promise<void> {
  if (!machine.supported || name === unconfined) return;
  if (name === "" || name === crioDefault) return ensureCrio(machine);
  if (!machine.loaded(name))
    throw invalid(`config provided AppArmor profile ${JSON.stringify(name)} not loaded`);
}
