/** `--call` and `--check`: questions about a Dockerfile instead of a build. */
import { parseBool } from "../flags/flag.ts";
import { fieldsOrFail, flagProblem } from "./csv.ts";

export interface CallFunction {
  name: string;
  format: string;
  ignoreStatus: boolean;
}

/** undefined: a build. Written as buildx takes it: `check,format=json,ignorestatus=true`. */
export function callOf(values: { call: string; check: boolean }): CallFunction | undefined {
  const text = values.check ? "check" : values.call;
  if (text === "") return undefined;
  const call: CallFunction = { name: "", format: "", ignoreStatus: false };
  for (const field of fieldsOrFail(text)) {
    const at = field.indexOf("=");
    const key = field.slice(0, Math.max(0, at));
    if (at < 0) {
      if (call.name !== "") throw flagProblem(`invalid print value: ${text}`);
      call.name = field;
    } else if (key === "format") call.format = field.slice(at + 1);
    else if (key === "ignorestatus") call.ignoreStatus = status(field.slice(at + 1));
    else throw flagProblem(`invalid print field: ${field}`);
  }
  if (call.name === "check") call.name = "lint";
  return call.name === "build" ? undefined : call;
}

function status(text: string): boolean {
  try {
    return parseBool(text);
  } catch (error) {
    throw flagProblem(`invalid ignorestatus print value: ${text}: ${(error as Error).message}`);
  }
}
