import { invalid } from "../../base/errors.ts";

/** How containerd calls a shim's program (runtime/v2/README.md, "Shim Authoring"): Go's flags, then one action. */
export interface Arguments {
  action: string;
  namespace: string;
  id: string;
  /** containerd's gRPC socket. */
  address: string;
  /** containerd's program, which publishes events for shims that cannot. */
  publishBinary: string;
  bundle: string;
  socket: string;
  debug: boolean;
  version: boolean;
  info: boolean;
}

const texts = {
  namespace: "namespace",
  id: "id",
  address: "address",
  "publish-binary": "publishBinary",
  bundle: "bundle",
  socket: "socket",
} as const;
const switches = { debug: "debug", v: "version", version: "version", info: "info" } as const;
/** Accepted, without meaning here. */
const ignored = new Set(["debug-socket"]);

/** Reads `-flag value`, `--flag value`, `-flag=value` and switches, up to the first word that is no flag. */
export function parseArguments(argv: readonly string[]): Arguments {
  const found: Arguments = {
    action: "",
    namespace: "",
    id: "",
    address: "",
    publishBinary: "",
    bundle: "",
    socket: "",
    debug: false,
    version: false,
    info: false,
  };
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word);
    if (!match) {
      found.action = word;
      break;
    }
    const [, name = "", inline] = match;
    if (Object.hasOwn(switches, name)) {
      found[switches[name as keyof typeof switches]] = inline === undefined || /^(1|t|true)$/i.test(inline);
      continue;
    }
    if (!Object.hasOwn(texts, name) && !ignored.has(name))
      throw invalid(`flag provided but not defined: -${name}`);
    const value = inline ?? argv[++at];
    if (value === undefined) throw invalid(`flag needs an argument: -${name}`);
    if (Object.hasOwn(texts, name)) found[texts[name as keyof typeof texts]] = value;
  }
  return found;
}
