import type { AuthConfig as CriAuth } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { CortenError, type ErrorCode, invalid, isCode, messageOf } from "../../base/errors.ts";
import { credentialsOf } from "../../cri/images/credentials.ts";
import type { AuthConfig } from "../../engine/types.ts";
import { parseImageName, repositoryName } from "../../oci/reference.ts";
import type { Context } from "../context.ts";

/** Pulls an image through the daemon and gives its id. A pull that makes no progress is given up. */
export async function pullImage(
  { client, options }: Context,
  text: string,
  auth: CriAuth | undefined,
  signal: AbortSignal,
): Promise<string> {
  let reference: ReturnType<typeof parseImageName>;
  try {
    reference = parseImageName(text);
  } catch (error) {
    throw invalid(`failed to parse image reference ${JSON.stringify(text)}: ${messageOf(error)}`, error);
  }
  const stalled = new AbortController();
  const arm = () => setTimeout(() => stalled.abort(), options.pullDeadline);
  let timer = arm();
  try {
    const progress = await client.images.pull(
      repositoryName(reference),
      reference.digest ?? reference.tag ?? "latest",
      { auth: authOf(auth), signal: AbortSignal.any([signal, stalled.signal]) },
    );
    for await (const { error, errorDetail } of progress) {
      clearTimeout(timer);
      timer = arm();
      if (error !== undefined) throw pullError(error, errorDetail?.code);
    }
    if (stalled.signal.aborted || signal.aborted) throw new CortenError("canceled", "context canceled");
    return (await client.images.inspect(text)).Id;
  } catch (error) {
    if (stalled.signal.aborted)
      throw new CortenError(
        "deadline_exceeded",
        `failed to pull image ${JSON.stringify(text)}: no progress for ${options.pullDeadline / 1000} seconds`,
        { cause: error },
      );
    const code = error instanceof CortenError && !isCode(error, "internal") ? error.code : "unknown";
    throw new CortenError(
      code === "unknown" ? pullError(messageOf(error)).code : code,
      `failed to pull image ${JSON.stringify(text)}: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** The daemon tells what went wrong by words, and seldom by a code. */
function pullError(text: string, status?: number): CortenError {
  const code: ErrorCode = /not found|manifest unknown|does not exist/i.test(text)
    ? "not_found"
    : /unauthorized|authentication required|no basic auth|denied/i.test(text)
      ? "permission_denied"
      : "unknown";
  // A proxy's page of HTML says less than this.
  const unavailable = status === 502 || status === 503 || status === 504;
  return new CortenError(code, unavailable ? `RegistryUnavailable: ${text}` : text);
}

function authOf(auth: CriAuth | undefined): AuthConfig {
  return {
    ...credentialsOf(auth),
    ...(auth?.serverAddress ? { serveraddress: auth.serverAddress } : {}),
  };
}
