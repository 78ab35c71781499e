/** Pulls an image with its registry's credentials and shows how it goes. */
import type { EngineClient } from "../../engine/client.ts";
import type { Cli } from "../cli.ts";
import { credentialsFor } from "../config/credentials.ts";
import { apiName, isDebName, parseReference, registryKey, withDefaultTag } from "../format/reference.ts";
import type { Output } from "../streams/output.ts";
import { showProgress } from "../streams/progress.ts";

export interface PullOptions {
  platform: string;
  quiet: boolean;
  out: Output;
  allTags?: boolean;
}

export async function pullImage(
  cli: Cli,
  client: EngineClient,
  image: string,
  options: PullOptions,
): Promise<void> {
  const parsed = isDebName(image) ? undefined : parseReference(image);
  const reference = parsed && (options.allTags ? parsed : withDefaultTag(parsed));
  const { repository, tag } = reference ? apiName(reference) : { repository: image, tag: "" };
  const auth = reference && (await credentialsFor(cli.config, registryKey(reference)));
  const progress = await client.images.pull(repository, tag, {
    platform: options.platform,
    ...(auth ? { auth } : {}),
  });
  await showProgress(progress, options.quiet ? undefined : options.out);
}
