# bash completion for imgtool. Commands, options and choices are read from imgtool's own help, so
# this file knows none of them.

# _imgtool_value OPTION: what it takes, as the help on standard input names it: "a|b", "FILE".
_imgtool_value() {
  awk -v name="$1" '/^  -/ {
    sub(/^  /, "")
    sub(/  .*/, "")
    count = split($0, words, /,? /)
    for (i = 1; i < count; ++i) if (words[i] == name && words[count] !~ /^-/) print words[count]
  }'
}

_imgtool() {
  local imgtool=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  local previous=${COMP_WORDS[COMP_CWORD - 1]} command="" word words value help
  COMPREPLY=()

  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word != -* ]]; then
      command=$word
      break
    fi
  done
  if [[ -z $command || ($command == help && $previous == help) ]]; then
    words=$("$imgtool" help 2>/dev/null | sed -n '/^Commands:/,$ s/^  \([a-z][a-z-]*\).*/\1/p')
    [[ -n $command ]] || words+=" --version --verbose"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    return
  fi

  help=$("$imgtool" help "$command" 2>/dev/null) || return
  # "--verify=fu" reaches us as three words.
  if [[ $current == = ]]; then
    current=""
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if [[ $previous == -* ]]; then
    # The word after an option's name: choices, a file, or a value that nobody can guess.
    value=$(_imgtool_value "$previous" <<<"$help")
    if [[ $value == *'|'* ]]; then
      words=" ${value//|/ } "
      mapfile -t COMPREPLY < <(compgen -W "${words/ FILE / }" -- "$current")
    fi
    case $value in
      *FILE* | DIR | BASE | SRC | "") ;;
      *) return ;;
    esac
  fi
  if [[ $current == -* ]]; then
    words=$(sed -n 's/^  \(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' <<<"$help")
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    compopt -o filenames 2>/dev/null
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
  fi
}

complete -F _imgtool imgtool
