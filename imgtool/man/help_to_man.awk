# Turns the --help of a command into man page source. part=own: a subsection about the command
# without its common options; part=common: the common options alone.
#
# Help is laid out as: paragraphs from column 1; "Heading:"; rows of two blanks, a name, two or
# more blanks, a text; further lines of a text deeper than two blanks.

function escaped(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  if (text ~ /^[.']/) text = "\\&" text
  return text
}

function row(line,   split_at) {
  sub(/^  /, "", line)
  if (announce != "") print ".PP\n" announce ":"
  announce = ""
  print heading == "Examples" ? ".PP" : ".TP"
  split_at = match(line, /  +/)
  if (split_at > 0) {
    print ".B " escaped(substr(line, 1, split_at - 1))
    print escaped(substr(line, split_at + RLENGTH))
  } else {
    print ".B " escaped(line)
    if (heading == "Examples") print ".br"
  }
}

/^Usage: / {
  if (part == "own") {
    print ".SS " $3
    print ".B imgtool " $3
    for (i = 4; i <= NF; ++i) print escaped($i)
  }
  next
}
/^[A-Z][a-z ]*:$/ {
  heading = substr($0, 1, length($0) - 1)
  wanted = (heading == "Common options") == (part == "common")
  announce = heading == "Examples" || heading == "Exit codes" ? heading : ""
  next
}
/^$/ { if (heading == "" && part == "own") print ".PP"; next }
heading == "" { if (part == "own") print escaped($0); next }
/^  (0 +done|1 +failed|2 +wrong usage|128\+N +ended by signal N)$/ { next } # said once for all
wanted && /^  [^ ]/ { row($0); next }
wanted { sub(/^ +/, ""); print escaped($0) }
