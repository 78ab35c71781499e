/** The short way of an `exec` that only shows what the command writes; `exec.test.ts` holds it to the usual way's request. */
import type { ExecCreateRequest } from "../../engine/types.ts";
import { type Environment, isWord, keyOf, type PlainDaemon, plainDaemon } from "./words.ts";

export interface PlainExec {
  daemon: PlainDaemon;
  container: string;
  body: ExecCreateRequest;
}

/** The request of a plain `exec`; undefined for all else. */
export function plainExec(argv: readonly string[], env: Environment): PlainExec | undefined {
  const daemon = plainDaemon(argv, "exec", env);
  if (!daemon) return undefined;
  const body: ExecCreateRequest & { Env: string[] | null } = {
    User: "",
    Privileged: false,
    Tty: false,
    AttachStdin: false,
    AttachStderr: true,
    AttachStdout: true,
    DetachKeys: "",
    Env: null,
    WorkingDir: "",
    Cmd: [],
  };
  let { at } = daemon;
  for (; at < argv.length && argv[at]![0] === "-"; at += 2) {
    const value = argv[at + 1];
    if (value === undefined) return undefined;
    switch (argv[at]) {
      case "-u":
      case "--user":
        body.User = value;
        break;
      case "-w":
      case "--workdir":
        body.WorkingDir = value;
        break;
      case "-e":
      case "--env": {
        const name = keyOf(value);
        if (name === "" || name === value) return undefined;
        body.Env ??= [];
        body.Env.push(value);
        break;
      }
      default:
        return undefined;
    }
  }
  const container = argv[at];
  if (container === undefined || !isWord(container) || at + 1 >= argv.length) return undefined;
  body.Cmd = argv.slice(at + 1);
  return { daemon, container, body };
}
