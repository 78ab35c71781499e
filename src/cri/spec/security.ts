import { readFileSync } from "node:fs";
import { release } from "node:os";
import {
  SecurityProfile_ProfileType as ProfileType,
  type SecurityProfile,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import type { LinuxSeccomp } from "../../oci/runtime-spec.ts";
import { defaultSeccomp, resolveProfile, type SeccompProfile } from "../../oci/seccomp-default.ts";

const cache = new Map<string, LinuxSeccomp>();

/** The filter a profile stands for; `old` is how it was said before Kubernetes 1.19 (`localhost/…`, `runtime/default`). */
export function seccompOf(
  profile: SecurityProfile | undefined,
  old: string,
  privileged: boolean,
  capabilities: readonly string[],
  unset: string,
): LinuxSeccomp | undefined {
  // A privileged container is never filtered.
  if (privileged) return undefined;
  const name = profile ? nameOf(profile) : old || unset;
  if (name === "" || name === "unconfined") return undefined;
  const context = { capabilities, kernel: release() };
  if (name === "runtime/default" || name === "docker/default") {
    const key = capabilities.join();
    const known = cache.get(key) ?? defaultSeccomp(context);
    cache.set(key, known);
    return known;
  }
  if (!name.startsWith("localhost/")) throw invalid(`invalid seccomp profile ${JSON.stringify(name)}`);
  const path = name.slice("localhost/".length);
  try {
    return resolveProfile(JSON.parse(readFileSync(path, "utf8")) as SeccompProfile, context);
  } catch (error) {
    throw invalid(
      `failed to generate seccomp spec opts: cannot load seccomp profile ${JSON.stringify(path)}: ${messageOf(error)}`,
      error,
    );
  }
}

function nameOf(profile: SecurityProfile): string {
  switch (profile.profileType) {
    case ProfileType.RuntimeDefault:
      return "runtime/default";
    case ProfileType.Unconfined:
      return "unconfined";
    case ProfileType.Localhost:
      return `localhost/${profile.localhostRef}`;
    default:
      throw invalid(`unknown seccomp profile type ${profile.profileType}`);
  }
}
