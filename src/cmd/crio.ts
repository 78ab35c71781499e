/** `corten crio`: CRI without containerd and without Docker, configured as CRI-O is. */
import { readCommandLine, usage } from "./crio/flags.ts";

export async function main(argv: string[]): Promise<number> {
  const line = readCommandLine(argv, process.env);
  if (line.help) {
    process.stdout.write(usage);
    return 0;
  }
  const [command = "serve", ...rest] = line.words;
  switch (command) {
    case "serve":
      return (await import("./crio/serve.ts")).serve(line);
    case "config":
      return (await import("./crio/config.ts")).config(line, rest);
    case "status":
      return (await import("./crio/status.ts")).status(line, rest);
    case "wipe":
      return (await import("./crio/wipe.ts")).wipe(line, rest);
    case "version": {
      const { version } = await import("../crio/version.ts");
      process.stdout.write(`crio version ${version} (Corten)\n`);
      return 0;
    }
    default:
      process.stderr.write(`crio: unknown command ${JSON.stringify(command)}\n\n${usage}`);
      return 1;
  }
}
