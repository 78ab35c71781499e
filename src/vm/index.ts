/** What the shim's runtime `vm` calls. */
export { execInMachine } from "./exec.ts";
export { isFrozen, isMember, machineStats, tellCgroup, updateMachine } from "./limits.ts";
export { type Pod, prepareMember, releaseMember, startMember } from "./member.ts";
export { removeMembers, unshareFiles } from "./members.ts";
export { prepare, startMachine } from "./runtime.ts";
export { holdsPod, podOf } from "./spec.ts";
