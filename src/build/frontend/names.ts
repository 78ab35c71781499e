/** What steps are called: `[build 2/5] RUN make`, `[linux/arm64 build 2/5] …` when there are several platforms. */
import type { Platform } from "../../oci/image-spec.ts";
import { formatPlatform, normalizePlatform, parsePlatform } from "../../oci/platform.ts";

export interface Naming {
  /** Steps of the stage that will be shown; 0: it is no stage of the file. */
  total: number;
  /** Of the step named last. */
  index: number;
  /** Empty when the file has only one stage. */
  stage: string;
  showPlatform: boolean;
}

/** Counts the step and puts the stage's prefix before its text. */
export function stepName(
  naming: Naming,
  text: string,
  options: {
    platform: Platform;
    environment: ReadonlyMap<string, string>;
    onbuild?: boolean;
    /** The step counted last has a second vertex. */
    again?: boolean;
  },
): string {
  if (naming.total === 0) return text;
  if (!options.again) naming.index++;
  const { platform, environment, onbuild = false } = options;
  const width = Math.floor(1 + Math.log10(naming.total));
  const shown = naming.showPlatform
    ? `${formatPlatform(platform)}${crossTarget(platform, environment)} `
    : "";
  const stage = naming.stage === "" ? "" : `${naming.stage} `;
  const count = `${String(naming.index).padStart(width)}/${naming.total}`;
  return `[${shown}${stage}${count}] ${onbuild ? "ONBUILD " : ""}${text}`;
}

/** `->arm64` for a stage that runs on one platform to compile for another (it asked for TARGETARCH and the like). */
function crossTarget(platform: Platform, environment: ReadonlyMap<string, string>): string {
  const target = targetOf(environment);
  if (target === undefined) return "";
  const whole = normalizePlatform({
    os: target.os || platform.os,
    architecture: target.architecture || platform.architecture,
    ...(target.variant && { variant: target.variant }),
  });
  if (whole.os !== platform.os) return `->${formatPlatform(whole)}`;
  if (whole.architecture === platform.architecture) return "";
  return `->${whole.architecture}${whole.variant ? `/${whole.variant}` : ""}`;
}

function targetOf(environment: ReadonlyMap<string, string>): Partial<Platform> | undefined {
  const whole = environment.get("TARGETPLATFORM");
  if (whole !== undefined)
    try {
      return parsePlatform(whole);
    } catch {
      // A value of the user's own says nothing about the target.
    }
  const os = environment.get("TARGETOS");
  const architecture = environment.get("TARGETARCH");
  const variant = environment.get("TARGETVARIANT");
  if (os === undefined && architecture === undefined && variant === undefined) return undefined;
  return {
    ...(os !== undefined && { os }),
    ...(architecture !== undefined && { architecture }),
    ...(variant !== undefined && { variant }),
  };
}

/** The instruction's word in upper case, however it was written. */
export function withUpperKeyword(text: string): string {
  const space = text.indexOf(" ");
  return space < 0 ? text.toUpperCase() : text.slice(0, space).toUpperCase() + text.slice(space);
}

/** First line of a heredoc, for the name of its step. */
export function summaryOf(document: string): string {
  const lines = document.trim().replaceAll("\r\n", "\n").split("\n");
  return lines.length > 1 ? `${lines[0]}...` : lines[0]!;
}
