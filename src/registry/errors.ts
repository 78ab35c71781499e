/** A registry's errors (distribution-spec, "Error Codes") in the texts and codes that Docker gives them. */
import { CortenError, type ErrorCode } from "../base/errors.ts";
import { familiarName, familiarReference, type Reference } from "../oci/reference.ts";
import { parseChallenges } from "./challenge.ts";
import { discard, type HttpRequest, readBody } from "./http.ts";

/** An error answer of a registry, as CortenError, with what is needed to decide on it. */
export class RegistryError extends CortenError {
  readonly status: number;
  /** The registry's own code, `MANIFEST_UNKNOWN`; empty when its answer had none. */
  readonly registryCode: string;
  /** The first of several reasons, the one that `registryCode` is of. */
  readonly reason: string;
  constructor(code: ErrorCode, reasons: string[], status: number, registryCode: string) {
    super(code, reasons.length === 1 ? reasons[0]! : `errors:\n${reasons.join("\n")}\n`);
    this.reason = reasons[0]!;
    this.status = status;
    this.registryCode = registryCode;
  }
}

const maxErrorBody = 64 * 1024;

const known: Record<string, { code: ErrorCode; message: string }> = {
  UNAUTHORIZED: { code: "unauthenticated", message: "authentication required" },
  DENIED: { code: "permission_denied", message: "requested access to the resource is denied" },
  TOOMANYREQUESTS: { code: "resource_exhausted", message: "too many requests" },
  UNSUPPORTED: { code: "unimplemented", message: "The operation is unsupported." },
  UNAVAILABLE: { code: "unavailable", message: "service unavailable" },
  MANIFEST_UNKNOWN: { code: "not_found", message: "manifest unknown" },
  MANIFEST_INVALID: { code: "invalid_argument", message: "manifest invalid" },
  MANIFEST_BLOB_UNKNOWN: { code: "not_found", message: "blob unknown to registry" },
  MANIFEST_UNVERIFIED: { code: "invalid_argument", message: "manifest failed signature verification" },
  NAME_UNKNOWN: { code: "not_found", message: "repository name not known to registry" },
  NAME_INVALID: { code: "invalid_argument", message: "invalid repository name" },
  TAG_INVALID: { code: "invalid_argument", message: "manifest tag did not match URI" },
  BLOB_UNKNOWN: { code: "not_found", message: "blob unknown to registry" },
  BLOB_UPLOAD_UNKNOWN: { code: "not_found", message: "blob upload unknown to registry" },
  BLOB_UPLOAD_INVALID: { code: "invalid_argument", message: "blob upload invalid" },
  DIGEST_INVALID: { code: "invalid_argument", message: "provided digest did not match uploaded content" },
  SIZE_INVALID: { code: "invalid_argument", message: "provided length did not match content length" },
};

function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "permission_denied";
  if (status === 404) return "not_found";
  if (status === 429) return "resource_exhausted";
  if (status >= 500) return "unavailable";
  return "unknown";
}

interface Detail {
  code: string;
  message: string;
}

/** Reads an answer that is not a success and turns it into an error. */
export async function errorOf(request: HttpRequest, response: Response): Promise<RegistryError> {
  const { status } = response;
  const details: Detail[] = [];
  // A bearer challenge may say more than the body (RFC 6750, section 3.1).
  if (status === 401) {
    for (const { scheme, parameters } of parseChallenges(response.headers.get("www-authenticate") ?? "")) {
      const code = { invalid_token: "UNAUTHORIZED", insufficient_scope: "DENIED" }[parameters["error"] ?? ""];
      if (scheme !== "bearer" || !code) continue;
      details.push({ code, message: parameters["error_description"] || known[code]!.message });
    }
  }
  let text = "";
  if (request.method === "HEAD") await discard(response);
  else
    text = await readBody(request, response, maxErrorBody).then(
      (bytes) => new TextDecoder().decode(bytes),
      () => "",
    );
  details.push(...parseErrors(text));
  if (details.length === 0 && status === 401)
    details.push({ code: "UNAUTHORIZED", message: "authentication required" });
  if (details.length === 0 && status === 403)
    details.push({ code: "DENIED", message: known["DENIED"]!.message });
  if (details.length === 0 && status === 429)
    details.push({ code: "TOOMANYREQUESTS", message: "too many requests" });
  const first = details[0];
  if (!first) {
    const reason = `received unexpected HTTP status: ${status} ${response.statusText}`.trim();
    return new RegistryError(codeOfStatus(status), [reason], status, "");
  }
  const lines = [...new Set(details.map(({ code, message }) => `${words(code)}: ${message}`))];
  return new RegistryError(known[first.code]?.code ?? codeOfStatus(status), lines, status, first.code);
}

const words = (code: string): string => code.toLowerCase().replaceAll("_", " ");

function parseErrors(text: string): Detail[] {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return [];
  }
  if (typeof document !== "object" || document === null) return [];
  const { errors, details } = document as { errors?: unknown; details?: unknown };
  if (Array.isArray(errors))
    return errors.slice(0, 16).flatMap((entry: unknown) => {
      if (typeof entry !== "object" || entry === null) return [];
      const { code, message } = entry as { code?: unknown; message?: unknown };
      if (typeof code !== "string") return [];
      return [
        {
          code,
          message:
            typeof message === "string" && message !== "" ? message : (known[code]?.message ?? words(code)),
        },
      ];
    });
  // Docker Hub's older shape.
  if (typeof details === "string") return [{ code: "UNAUTHORIZED", message: details }];
  return [];
}

/** Docker's texts around what makes a pull fail; other errors stay as they are. */
export function pullError(reference: Reference, error: unknown): unknown {
  if (!(error instanceof RegistryError)) return error;
  const wrap = (text: string) => new CortenError("not_found", `${text}: ${error.reason}`, { cause: error });
  switch (error.registryCode) {
    case "DENIED":
      return wrap(
        `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login'`,
      );
    case "MANIFEST_UNKNOWN":
      return wrap(`manifest for ${familiarReference(reference)} not found`);
    case "NAME_UNKNOWN":
      return wrap(`repository ${familiarName(reference)} not found`);
    default:
      return error;
  }
}
