import type { VerbBody } from "../command.ts";
import type { FlagSpec } from "../flags.ts";
import { helpFlag, versionFlag } from "../help.ts";
import { globalFlags } from "../settings.ts";
import { loadVerb, type Verb, verbs } from "./index.ts";

export const command: VerbBody = {
  argsUsage: "SHELL",
  description: `Output shell completion code for bash, zsh or fish.

Examples:

    # bash
    source <(crictl completion bash)

    # zsh
    source <(crictl completion zsh)

    # fish
    crictl completion fish | source
	`,
  flags: [],
  async run(call) {
    if (call.args.length > 1) return call.help();
    switch (call.args[0] ?? "bash") {
      case "bash":
        return call.print(bash());
      case "zsh":
        return call.print(zsh());
      case "fish":
        return call.print(await fish());
      default:
        throw new Error("only bash, zsh or fish are supported");
    }
  },
};

const namesOf = ({ name, aliases = [] }: { name: string; aliases?: readonly string[] }) => [name, ...aliases];
const helpVerb = { name: "help", aliases: ["h"], usage: "Shows a list of commands or help for one command" };
const everyVerb = () => [...verbs, helpVerb];
const globals = () => [...globalFlags, helpFlag, versionFlag];

function bash(): string {
  const words = [...everyVerb().flatMap(namesOf), ...globals().map(({ name }) => `--${name}`)];
  return `_crictl() {
    COMPREPLY=( $(compgen -W "${words.join(" ")}" -- "\${COMP_WORDS[COMP_CWORD]}") )
}
complete -F _crictl crictl
`;
}

function zsh(): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const described = everyVerb().flatMap((one) => namesOf(one).map((name) => quote(`${name}:${one.usage}`)));
  return `#compdef crictl
_crictl() {
  local -a cmds opts
  cmds=(${described.join(" ")})
  opts=(${globals()
    .map(({ name }) => quote(`--${name}`))
    .join(" ")})
  _describe 'commands' cmds
  _describe 'global options' opts
}
compdef _crictl crictl
`;
}

async function fish(): Promise<string> {
  const all = everyVerb().flatMap(namesOf).join(" ");
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const option = (condition: string, flag: FlagSpec) => {
    const names = namesOf(flag).map((name) => (name.length === 1 ? `-s ${name}` : `-l ${name}`));
    const value = flag.kind === "bool" ? "" : " -r";
    return `complete -c crictl -n '${condition}' -f ${names.join(" ")}${value} -d ${quote(flag.usage.replaceAll("\n", " "))}`;
  };
  const lines = globals().map((flag) => option("__fish_crictl_no_subcommand", flag));
  for (const one of everyVerb())
    lines.push(
      `complete -c crictl -n '__fish_crictl_no_subcommand' -f -a '${namesOf(one).join(" ")}' -d ${quote(one.usage)}`,
    );
  for (const one of verbs as readonly Verb[]) {
    const { flags } = await loadVerb(one);
    for (const flag of [...flags, helpFlag])
      lines.push(option(`__fish_seen_subcommand_from ${namesOf(one).join(" ")}`, flag));
  }
  return `function __fish_crictl_no_subcommand
    for i in (commandline -opc)
        if contains -- $i ${all}
            return 1
        end
    end
    return 0
end
${lines.join("\n")}
`;
}
