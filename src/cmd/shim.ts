/** `corten shim`, and by its name `containerd-shim-corten-v2`: our shim under any containerd. */
import packageJson from "../../package.json" with { type: "json" };
import { shimCommand } from "../shim/v2/command.ts";

export const main = (argv: string[]): Promise<number> =>
  shimCommand(argv, process.execPath, packageJson.version);
