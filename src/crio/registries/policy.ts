/** policy.json (containers-policy.json(5)): whether an image may be had at all. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";

interface Requirement {
  type?: string;
}

interface Policy {
  default: Requirement[];
  transports: Record<string, Record<string, Requirement[]>>;
}

export function readPolicy(path: string): Policy {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw invalid(`cannot read the signature policy ${path}: ${messageOf(error)}`, error);
  }
  return parsePolicy(document, path);
}

export function parsePolicy(document: unknown, path: string): Policy {
  const policy = document as Partial<Policy>;
  if (!Array.isArray(policy?.default) || policy.default.length === 0)
    throw invalid(`the signature policy ${path} has no default`);
  return { default: policy.default, transports: policy.transports ?? {} };
}

/** Throws unless the policy accepts the image. What would need its signatures is refused: they are not looked at. */
export function checkPolicy(policy: Policy, name: string): void {
  const scope = policy.transports["docker"];
  const requirements =
    scopesOf(name)
      .map((entry) => scope?.[entry])
      .find((found) => found !== undefined) ?? policy.default;
  if (requirements.length === 0) throw invalid(`the signature policy has no requirement for ${name}`);
  for (const { type } of requirements) {
    if (type === "insecureAcceptAnything") continue;
    const why =
      type === "reject"
        ? "the signature policy rejects it"
        : `the signature policy asks for ${JSON.stringify(type ?? "")}, and signatures are not verified here`;
    throw new CortenError("permission_denied", `SignatureValidationFailed: ${name} is not pulled: ${why}`);
  }
}

/** From the whole name to the host, its wildcards, and everything. */
function scopesOf(name: string): string[] {
  const repository = name.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
  const scopes = name === repository ? [name] : [name, repository];
  for (let at = repository.lastIndexOf("/"); at > 0; at = repository.lastIndexOf("/", at - 1))
    scopes.push(repository.slice(0, at));
  const host = repository.split("/")[0]!.replace(/:\d+$/, "");
  for (let at = host.indexOf("."); at >= 0; at = host.indexOf(".", at + 1)) scopes.push(`*${host.slice(at)}`);
  return [...scopes, ""];
}

const systemPolicy = "/etc/containers/policy.json";

/** The namespace's own policy, or else the configured one, or the system's; without any of them everything is accepted. */
export function policyFor(
  image: { signature_policy: string; signature_policy_dir: string },
  namespace: string,
): Policy | undefined {
  if (/^[\w.-]+$/.test(namespace)) {
    const own = join(image.signature_policy_dir, `${namespace}.json`);
    if (existsSync(own)) return readPolicy(own);
  }
  if (image.signature_policy !== "") return readPolicy(image.signature_policy);
  return existsSync(systemPolicy) ? readPolicy(systemPolicy) : undefined;
}
