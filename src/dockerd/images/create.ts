import { CortenError, invalid, isCode, messageOf, notFound } from "../../base/errors.ts";
import { debImageName } from "../../containerd/client/index.ts";
import { parsePlatform } from "../../oci/platform.ts";
import {
  familiarName,
  familiarReference,
  parseReference,
  type Reference,
  withDefaultTag,
  withDigest,
  withTag,
} from "../../oci/reference.ts";
import type { Call, Handler } from "../daemon.ts";
import { credentialsOf, resolverCredentials } from "./auth.ts";
import { fetchDebImage, fetchImage } from "./fetch.ts";
import { layerLine, ProgressStream } from "./progress.ts";

/** `POST /images/create?fromImage=&tag=&platform=`: pulls; `deb:` references are composed from Debian packages. */
export const create: Handler = async (call) => {
  const { query } = call;
  const from = query.string("fromImage");
  if (from === "") {
    if (query.has("fromSrc")) return (await import("./import.ts")).importImage(call);
    throw invalid("fromImage is required");
  }
  const deb = debReference(from, query.string("tag"));
  if (deb !== undefined) await importDeb(call, deb);
  else await pullImage(call, from, query.string("tag"));
};

/** The `deb:` reference in a pull, also as the real docker spells it: repository `deb`, the package as tag. */
export function debReference(from: string, tag: string): string | undefined {
  if (from.startsWith("deb:")) return from;
  if (["deb", "library/deb", "docker.io/library/deb"].includes(from) && tag !== "" && tag !== "latest")
    return `deb:${unescapeTag(tag)}`;
  const named = /^docker\.io\/library\/deb:(.+)$/.exec(from);
  return named ? `deb:${unescapeTag(named[1]!)}` : undefined;
}

const unescapes: Record<string, string> = { __: ",", _s: "/", _e: "=", _c: ":", _t: "~", _p: "+" };
/** `debImageName`'s escapes, back. */
const unescapeTag = (tag: string) => tag.replace(/_[_sectp]/g, (found) => unescapes[found] ?? found);

async function importDeb({ daemon, query, reply, signal }: Call, reference: string): Promise<void> {
  const progress = new ProgressStream(reply);
  const platform = query.string("platform");
  try {
    const { changed, deb } = await fetchDebImage(daemon, reference, debImageName(reference), {
      signal,
      ...(platform === "" ? {} : { platform: parsePlatform(platform) }),
      onProgress: (event) => {
        switch (event.kind) {
          case "resolved":
            progress.send({
              status: `Resolved ${event.packages} packages, ${event.downloadBytes} bytes to download`,
              id: "deb",
            });
            break;
          case "download":
            progress.send(
              layerLine({
                digest: "",
                id: event.package,
                status: "Downloading",
                current: event.offset,
                total: event.total,
              }),
            );
            break;
          case "layer":
            progress.send({
              status: event.state === "cached" ? "Already exists" : "Pull complete",
              progressDetail: {},
              id: event.package,
            });
            break;
          case "warning":
            progress.send({ status: `Warning: ${event.message}` });
            break;
          default:
        }
      },
    });
    progress.send({ status: `Digest: ${deb.descriptor.digest}` });
    progress.send({
      status: changed
        ? `Status: Downloaded newer image for ${reference}`
        : `Status: Image is up to date for ${reference}`,
    });
    daemon.events.publish("image", "pull", reference, { name: reference });
  } catch (error) {
    if (!progress.started) throw error;
    progress.fail(messageOf(error));
  }
  progress.end();
}

async function pullImage(call: Call, from: string, tag: string): Promise<void> {
  const { daemon, head, query, reply, signal } = call;
  let reference = parseReference(from.replace(/:$/, ""));
  if (tag !== "") reference = tag.includes(":") ? withDigest(reference, tag) : withTag(reference, tag);
  reference = withDefaultTag(reference);
  if (reference.digest !== undefined) reference = withDigest(reference, reference.digest);
  const platform = query.string("platform");
  const progress = new ProgressStream(reply);
  const familiar = familiarReference(reference);
  try {
    const { changed, image } = await fetchImage(daemon, reference, {
      ...resolverCredentials(credentialsOf(head.headers.get("x-registry-auth"))),
      signal,
      ...(platform === "" ? {} : { platform: parsePlatform(platform) }),
      onResolved: () =>
        progress.send({
          status: `Pulling from ${reference.domain === "docker.io" ? reference.path : familiarName(reference)}`,
          id: tagOrDigest(reference),
        }),
      onProgress: (event) => progress.send(layerLine(event)),
    });
    progress.send({ status: `Digest: ${image.target?.digest ?? ""}` });
    progress.send({
      status: changed
        ? `Status: Downloaded newer image for ${familiar}`
        : `Status: Image is up to date for ${familiar}`,
    });
    daemon.events.publish("image", "pull", familiar, { name: familiarName(reference) });
  } catch (error) {
    if (!progress.started) throw pullError(error, reference);
    progress.fail(messageOf(error));
  }
  progress.end();
}

const tagOrDigest = (reference: Reference) => reference.tag ?? reference.digest ?? "latest";

/** A registry's refusals in Docker's words: what is not there and what may not be seen look the same. */
function pullError(error: unknown, reference: Reference): unknown {
  const name = familiarName(reference);
  // The distribution client may have said it already.
  if (/^(manifest for|pull access denied)/.test(messageOf(error))) return error;
  if (isCode(error, "not_found")) {
    return /manifest/i.test(messageOf(error)) || reference.domain !== "docker.io"
      ? notFound(
          `manifest for ${familiarReference(reference)} not found: manifest unknown: ${stripCode(messageOf(error))}`,
          error,
        )
      : notFound(denied(name), error);
  }
  if (isCode(error, "unauthenticated") || isCode(error, "permission_denied"))
    return notFound(denied(name), error);
  if (error instanceof CortenError) return error;
  return error;
}

const stripCode = (text: string) => text.replace(/^manifest unknown:?\s*/i, "manifest unknown");

const denied = (name: string) =>
  `pull access denied for ${name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`;
