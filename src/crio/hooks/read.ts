import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { invalid, messageOf } from "../../base/errors.ts";
import { type HookStage, hookStages } from "../../oci/runtime-spec.ts";
import { flagOf, type Table, tableOf, textOf, textsOf } from "../config/toml.ts";
import type { HookFile, When } from "./types.ts";

/**
 * The hooks of all directories in the order of their files' names; a file of a later directory replaces one of the same
 * name of an earlier. `problem` is told of a file that is left out: one bad hook does not stop the others.
 */
export function readHooks(
  dirs: readonly string[],
  problem: (file: string, error: unknown) => void,
): HookFile[] {
  const found = new Map<string, HookFile>();
  for (const dir of dirs) {
    if (!existsSync(dir)) continue;
    for (const name of readdirSync(dir)) {
      if (!name.endsWith(".json")) continue;
      const file = join(dir, name);
      try {
        found.set(name, parseHook(readFileSync(file, "utf8"), file));
      } catch (error) {
        problem(file, error);
      }
    }
  }
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, hook]) => hook);
}

export function parseHook(text: string, file: string): HookFile {
  let document: Table;
  try {
    document = tableOf(JSON.parse(text), file);
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`, error);
  }
  const version = textOf(document["version"], `${file}: version`) ?? "";
  if (version !== "1.0.0") throw invalid(`${file}: version ${JSON.stringify(version)} is not 1.0.0`);
  const hook = tableOf(document["hook"], `${file}: hook`);
  const path = textOf(hook["path"], `${file}: hook.path`) ?? "";
  if (!isAbsolute(path)) throw invalid(`${file}: hook.path ${JSON.stringify(path)} is not absolute`);
  try {
    statSync(path);
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`, error);
  }
  const timeout = hook["timeout"];
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0))
    throw invalid(`${file}: hook.timeout is not a number above zero`);
  const asked = textsOf(document["stages"], `${file}: stages`) ?? [];
  const wrong = asked.find((stage) => !(hookStages as readonly string[]).includes(stage));
  if (wrong !== undefined) throw invalid(`${file}: unknown stage ${JSON.stringify(wrong)}`);
  if (asked.length === 0) throw invalid(`${file}: it has no stages`);
  return {
    path,
    args: textsOf(hook["args"], `${file}: hook.args`) ?? [path],
    env: textsOf(hook["env"], `${file}: hook.env`) ?? [],
    ...(timeout === undefined ? {} : { timeout }),
    when: whenOf(tableOf(document["when"], `${file}: when`), `${file}: when`),
    stages: asked as HookStage[],
  };
}

function whenOf(when: Table, where: string): When {
  const always = flagOf(when["always"], `${where}.always`);
  const hasBindMounts = flagOf(when["hasBindMounts"], `${where}.hasBindMounts`);
  const annotations = Object.entries(tableOf(when["annotations"], `${where}.annotations`)).map(
    ([key, value]): [RegExp, RegExp] => [
      pattern(key, where),
      pattern(textOf(value, `${where}.annotations`)!, where),
    ],
  );
  const commands = (textsOf(when["commands"], `${where}.commands`) ?? []).map((text) => pattern(text, where));
  if (always === undefined && hasBindMounts === undefined && annotations.length + commands.length === 0)
    throw invalid(`${where} has no condition`);
  return {
    ...(always === undefined ? {} : { always }),
    annotations,
    commands,
    ...(hasBindMounts === undefined ? {} : { hasBindMounts }),
  };
}

function pattern(text: string, where: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw invalid(`${where}: ${JSON.stringify(text)} is no regular expression`, error);
  }
}
