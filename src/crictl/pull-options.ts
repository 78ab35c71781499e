/** How images are pulled: the flags of pull, create and run. */
import type { AuthConfig } from "../../proto/gen/runtime/v1/image_pb.ts";
import { fs } from "../base/lazy.ts";
import type { Call } from "./command.ts";
import { bool, duration, type FlagSpec, string } from "./flags.ts";
import { log } from "./log.ts";

export const pullFlags: readonly FlagSpec[] = [
  string("creds", "Use `USERNAME[:PASSWORD]` for accessing the registry", { env: "CRICTL_CREDS" }),
  string(
    "auth",
    "Use `AUTH_STRING` for accessing the registry. AUTH_STRING is a base64 encoded 'USERNAME[:PASSWORD]'",
    { env: "CRICTL_AUTH" },
  ),
  string(
    "username,u",
    "Use `USERNAME` for accessing the registry. The password will be requested on the command line",
  ),
  duration("pull-timeout,pt", "Maximum time to be used for pulling the image, disabled if set to 0s", {
    env: "CRICTL_PULL_TIMEOUT",
  }),
];

/** Of create and run, whose texts on when to pull differ. */
export const containerPullFlags = (noPull: string, withPull: string): FlagSpec[] => [
  bool("no-pull", noPull),
  bool("with-pull", withPull),
  duration("cancel-timeout,T", "Seconds to wait for the request to complete before cancelling"),
  ...pullFlags,
];

export type Auth = Partial<Pick<AuthConfig, "username" | "password" | "auth">>;

/** Who we are to the registry; undefined for nobody in particular. */
export async function authOf(call: Call): Promise<Auth | undefined> {
  const username = call.flags.text("username");
  if (username !== "") {
    call.print("Enter Password:");
    const password = await readSecret();
    call.print("\n");
    return { username, password };
  }
  const [creds, auth] = [call.flags.text("creds"), call.flags.text("auth")];
  if (creds !== "" && auth !== "") throw new Error("both `--creds` and `--auth` are specified");
  if (creds !== "") return parseCreds(creds);
  return auth === "" ? undefined : { auth };
}

export function parseCreds(creds: string): { username: string; password: string } {
  const colon = creds.indexOf(":");
  if (colon < 0) return { username: creds, password: "" };
  if (colon === 0) throw new Error("username can't be empty");
  return { username: creds.slice(0, colon), password: creds.slice(colon + 1) };
}

/** Milliseconds; undefined when a pull may take as long as it wants. */
export function pullTimeout(call: Call): number | undefined {
  const nanoseconds = call.flags.number("pull-timeout");
  if (nanoseconds < 0) throw new Error("timeout should be bigger than 0");
  if (nanoseconds === 0) return undefined;
  log("debug", `Using pull context with timeout of ${nanoseconds / 1e9}s`);
  return nanoseconds / 1e6;
}

async function readSecret(): Promise<string> {
  if (!process.stdin.isTTY) throw new Error("inappropriate ioctl for device");
  process.stdin.setRawMode(true);
  try {
    const line: number[] = [];
    const one = new Uint8Array(1);
    for (;;) {
      const count = await new Promise<number>((resolve, reject) =>
        fs().read(0, one, 0, 1, null, (error, read) => (error ? reject(error) : resolve(read))),
      );
      const byte = one[0]!;
      if (count === 0 || byte === 0x0d || byte === 0x0a) return Buffer.from(line).toString();
      if (byte === 0x03) process.exit(130);
      if (byte === 0x7f) line.pop();
      else line.push(byte);
    }
  } finally {
    process.stdin.setRawMode(false);
  }
}
