/** A security context in the words of the Engine API. */
import { readFileSync } from "node:fs";
import {
  SecurityProfile_ProfileType as ProfileType,
  type SELinuxOption,
  type SecurityProfile,
  SupplementalGroupsPolicy,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { LinuxContainerSecurityContext } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { invalid, messageOf, unimplemented } from "../../base/errors.ts";

type User = Partial<
  Pick<
    LinuxContainerSecurityContext,
    "runAsUser" | "runAsGroup" | "runAsUsername" | "supplementalGroupsPolicy"
  >
>;

/** `user[:group]`; empty leaves the image's. */
export function userOf(security: User | undefined, imageUser: string): string {
  const user = security?.runAsUser ? String(security.runAsUser.value) : (security?.runAsUsername ?? "");
  if (security?.runAsGroup) {
    if (user === "") throw invalid("runAsGroup is specified without a runAsUser");
    return `${user}:${security.runAsGroup.value}`;
  }
  // With a group given the daemon does not look the user's groups up in the image: that is what Strict asks for.
  if (
    security?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict &&
    !(user || imageUser).includes(":")
  )
    throw unimplemented(
      "SupplementalGroupsPolicy Strict needs runAsGroup: the daemon would add the image's groups",
    );
  return user;
}

/** Empty for the daemon's default profile. */
export function seccompOption(
  profile: SecurityProfile | undefined,
  old: string,
  privileged: boolean,
): string[] {
  const unconfined = ["seccomp=unconfined"];
  // A privileged container is never filtered.
  if (privileged) return unconfined;
  let path: string;
  if (profile) {
    if (profile.profileType === ProfileType.RuntimeDefault) return [];
    if (profile.profileType === ProfileType.Unconfined) return unconfined;
    path = profile.localhostRef;
  } else {
    if (old === "" || old === "unconfined") return unconfined;
    if (old === "runtime/default" || old === "docker/default") return [];
    if (!old.startsWith("localhost/")) throw invalid(`unknown seccomp profile option: ${old}`);
    path = old.slice("localhost/".length);
  }
  if (!path.startsWith("/"))
    throw invalid(`seccomp profile path must be absolute, but got relative path ${JSON.stringify(path)}`);
  try {
    // The API carries the profile itself, not its path.
    return [`seccomp=${JSON.stringify(JSON.parse(readFileSync(path, "utf8")))}`];
  } catch (error) {
    throw invalid(`cannot load seccomp profile ${JSON.stringify(path)}: ${messageOf(error)}`, error);
  }
}

/** Empty for the daemon's default profile, which it uses where AppArmor is on. */
export function apparmorOption(
  profile: SecurityProfile | undefined,
  old: string,
  privileged: boolean,
): string[] {
  if (privileged) return [];
  const name = profile
    ? profile.profileType === ProfileType.Unconfined
      ? "unconfined"
      : profile.profileType === ProfileType.Localhost
        ? profile.localhostRef
        : ""
    : old.replace(/^localhost\//, "");
  return name === "" || name === "runtime/default" ? [] : [`apparmor=${name}`];
}

export function selinuxOptions(options: SELinuxOption | undefined): string[] {
  if (!options) return [];
  const { user, role, type, level } = options;
  return Object.entries({ user, role, type, level })
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `label=${name}:${value}`);
}
