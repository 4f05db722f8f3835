#!/bin/sh
# page.sh IMGTOOL TEMPLATE VERSION: prints the man page. What commands and options mean is said
# once, in their --help; the template has the rest.
set -eu
imgtool=$1 template=$2 version=$3
here=$(dirname "$0")

commands() {
  "$imgtool" help | awk '/^Commands:/ { on = 1; next } on && $1 != "help" && /^  / { print $1 }'
}

while IFS= read -r line; do
  case $line in
    @COMMANDS@)
      for command in $(commands); do
        help=$("$imgtool" help "$command") || continue # a companion that was not built
        printf '%s\n' "$help" | awk -v part=own -f "$here/help_to_man.awk"
      done
      ;;
    @COMMON@) "$imgtool" help burn | awk -v part=common -f "$here/help_to_man.awk" ;;
    *) printf '%s\n' "$line" | sed "s/@VERSION@/$version/" ;;
  esac
done <"$template"
