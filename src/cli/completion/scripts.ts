/**
 * Scripts that pass the words typed so far to `completion list`; the last one is what is being typed. It ends with 2
 * where a file may stand.
 */
export const scripts: Record<string, (program: string) => string> = {
  bash: (program) => `_${program}_complete() {
  local IFS=$'\\n' line=\${COMP_LINE:0:COMP_POINT} words found
  # Not readline's words, which end at the colons of images and the equals signs of flags.
  IFS=$' \\t' read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  found=$(${program} completion list "\${words[@]:1}" 2>/dev/null)
  [[ $? -eq 2 ]] && compopt -o default
  COMPREPLY=($found)
  local typed=\${words[-1]} current=\${COMP_WORDS[COMP_CWORD]}
  local extra=$((\${#typed} - \${#current}))
  if [[ $typed == *[:=]* && $extra -ge 0 ]]; then
    [[ $current == [:=] ]] && extra=$((extra + 1))
    COMPREPLY=("\${COMPREPLY[@]:0}")
    local at
    for at in "\${!COMPREPLY[@]}"; do COMPREPLY[at]=\${COMPREPLY[at]:extra}; done
  fi
}
complete -F _${program}_complete ${program}
`,
  zsh: (program) => `#compdef ${program}
_${program}() {
  local -a found
  found=("\${(@f)$(${program} completion list "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  local files=$?
  found=(\${found:#})
  (( $#found )) && compadd -- $found
  (( files == 2 )) && _files
  return 0
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _${program} ${program}
`,
  fish: (program) => `function __${program}_complete
  set -l typed (commandline -ct)
  ${program} completion list (commandline -opc)[2..-1] "$typed" 2>/dev/null
  test $status -eq 2; and __fish_complete_path "$typed"
end
complete -c ${program} -f -a '(__${program}_complete)'
`,
};
