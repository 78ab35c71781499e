import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { asCortenError, CortenError } from "../../base/errors.ts";
import { describeErrno } from "../libc.ts";

/** The name of the errno behind an error of node:fs or one that wraps it ("EBUSY"), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && /^E[A-Z0-9]+$/.test(code)) return code;
  }
  return undefined;
}

/** The kernel's words for an error of node:fs ("permission denied"), without the call and path around it. */
export function errnoText(error: unknown): string {
  const errno = (error as NodeJS.ErrnoException).errno;
  return typeof errno === "number" && errno !== 0
    ? describeErrno(Math.abs(errno))
    : error instanceof Error
      ? error.message
      : String(error);
}

function failure(error: unknown, message: string): CortenError {
  return new CortenError(asCortenError(error).code, message, { cause: error });
}

/** Writes one value to a control file in one write(2), as the kernel's parsers need it. */
export function writeControl(directory: string, file: string, value: string): void {
  writeControls(directory, file, [value]);
}

/** As `writeControl`, for a file that takes one rule at a time. */
export function writeControls(directory: string, file: string, values: readonly string[]): void {
  const path = join(directory, file);
  let fd: number;
  try {
    // Write-only without O_CREAT: a control file that is not there is an error, on a fake tree too.
    fd = openSync(path, constants.O_WRONLY);
  } catch (error) {
    throw failure(error, `open ${path}: ${errnoText(error)}`);
  }
  let value = "";
  try {
    for (value of values) writeSync(fd, value);
  } catch (error) {
    throw failure(error, `failed to write ${JSON.stringify(value)}: write ${path}: ${errnoText(error)}`);
  } finally {
    closeSync(fd);
  }
}

/** A control file's text without the newline at its end. */
export function readControl(directory: string, file: string): string {
  const path = join(directory, file);
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch (error) {
    throw failure(error, `read ${path}: ${errnoText(error)}`);
  }
}

/** As `readControl`, but undefined where the kernel has no such file. */
export function readControlIfPresent(directory: string, file: string): string | undefined {
  try {
    return readFileSync(join(directory, file), "utf8").trimEnd();
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENODEV" || code === "EOPNOTSUPP") return undefined;
    throw failure(error, `read ${join(directory, file)}: ${errnoText(error)}`);
  }
}

/** `key value` lines, as in memory.stat. */
export function parseFlatKeyed(text: string): Record<string, number> {
  const result: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) result[line.slice(0, space)] = Number(line.slice(space + 1));
  }
  return result;
}
