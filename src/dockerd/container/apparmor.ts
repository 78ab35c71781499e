/** Docker's rules for AppArmor profiles: its own for who asks for none, none for the privileged. */
import { internal, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Daemon, ProfileLoader } from "../daemon.ts";
import { parseSecurityOptions } from "../spec/security.ts";
import type { ContainerRecord } from "./container.ts";

export const defaultProfile = "docker-default";
const unconfined = "unconfined";

/** At the daemon's start: the default profile as this version has it. Who starts a container meanwhile waits for it. */
export async function installProfile(loader: ProfileLoader): Promise<void> {
  if (!loader.supported) return;
  await loader.load(defaultProfile).catch((error) =>
    log.error("Failed to load default apparmor profile", {
      error: `AppArmor enabled on system but the ${defaultProfile} profile could not be loaded: ${messageOf(error)}`,
    }),
  );
}

const asked = ({ host }: ContainerRecord): string =>
  parseSecurityOptions(host.SecurityOpt ?? [], { noNewPrivileges: false }).apparmor;

/** At a container's start: what is shown of it from then on, even where profiles cannot be loaded. */
export function saveProfile(daemon: Daemon, record: ContainerRecord): void {
  record.apparmorProfile = daemon.apparmor.visible
    ? asked(record) || (record.host.Privileged ? unconfined : defaultProfile)
    : "";
}

/** What is shown of a container: before its first start what it asks for. */
export const shownProfile = (record: ContainerRecord): string => record.apparmorProfile ?? asked(record);

/** The profile of a container's processes, also of those that are privileged where it is not; undefined without AppArmor. */
export function profileOf(daemon: Daemon, record: ContainerRecord): string | undefined {
  if (!daemon.apparmor.supported) return undefined;
  return record.apparmorProfile || asked(record) || (record.host.Privileged ? unconfined : defaultProfile);
}

/** Loads the default profile where it is to be used and not there: other programs unload what they do not know. */
export async function ensureProfile(daemon: Daemon, profile: string | undefined): Promise<void> {
  if (profile !== defaultProfile) return;
  try {
    await daemon.apparmor.ensure(profile);
  } catch (error) {
    throw internal(
      `AppArmor enabled on system but the ${profile} profile could not be loaded: ${messageOf(error)}`,
      error,
    );
  }
}
