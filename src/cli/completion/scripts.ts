/** Scripts that pass the words typed so far to `completion list`; the last one is what is being typed. */
export const scripts: Record<string, (program: string) => string> = {
  bash: (program) => `_${program}_complete() {
  local IFS=$'\\n'
  COMPREPLY=($(${program} completion list "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _${program}_complete ${program}
`,
  zsh: (program) => `#compdef ${program}
_${program}() {
  local -a found
  found=("\${(@f)$(${program} completion list "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
  [[ -n "$found" ]] && compadd -- $found || _files
}
compdef _${program} ${program}
`,
  fish: (program) => `function __${program}_complete
  ${program} completion list (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c ${program} -a '(__${program}_complete)'
`,
};
