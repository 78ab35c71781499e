import { defineCommand } from "../command.ts";
import { StatusError } from "../errors.ts";
import { tree } from "../tree.ts";

/** The exit code that tells the scripts to offer files as well. */
const filesToo = 2;

export default defineCommand({
  usage: "bash|zsh|fish|list [WORD...]",
  long: `Print a completion script for a shell

  bash:  source <(corten completion bash)
  zsh:   source <(corten completion zsh)
  fish:  corten completion fish | source`,
  arguments: { min: 1 },
  flags: {},
  interspersed: false,
  async run({ cli, args }) {
    const [shell, ...words] = args as [string, ...string[]];
    // The scripts ask this same program, so that they never go out of date.
    if (shell === "list") {
      const { candidates } = await import("../completion/candidates.ts");
      const { names, files } = await candidates(cli, tree, words);
      if (names.length > 0) cli.out.line(names.join("\n"));
      return files ? filesToo : 0;
    }
    const { scripts } = await import("../completion/scripts.ts");
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (!script)
      throw new StatusError(1, `${cli.program}: no completion for ${shell}; there is bash, zsh and fish`);
    cli.out.write(script(cli.program));
  },
});
