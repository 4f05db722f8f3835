#!/bin/sh
# hardened_test.sh PROGRAM...: each is position independent, with read-only relocations bound at
# start, no executable stack, stack protectors, checked libc calls and landing pads for jumps. The
# static file is bound when it is linked, at a fixed place.
set -eu

fail() {
  echo "$1: $2" >&2
  exit 1
}

for program in "$@"; do
  file -b "$program" | grep -q 'ELF 64-bit' || fail "$program" "is no ELF program"
  if readelf --dynamic "$program" | grep -q NEEDED; then
    readelf --file-header "$program" | grep -q 'Type: *DYN' || fail "$program" "is not PIE"
    readelf --dynamic "$program" | grep -Eq 'BIND_NOW|FLAGS_1.*NOW' || fail "$program" "binds lazily"
  fi
  readelf --program-headers --wide "$program" >"${TMPDIR:-/tmp}/hardened.$$"
  grep -q GNU_RELRO "${TMPDIR:-/tmp}/hardened.$$" || fail "$program" "has no RELRO"
  grep 'GNU_STACK' "${TMPDIR:-/tmp}/hardened.$$" | grep -q 'RW ' || fail "$program" "stack can be run"
  rm "${TMPDIR:-/tmp}/hardened.$$"
  # The functions that these options put in are called from everywhere. A static program has no
  # symbols left; its text has the message and the instructions.
  strings -a "$program" >"${TMPDIR:-/tmp}/hardened.$$"
  grep -q 'stack_chk_fail\|stack smashing' "${TMPDIR:-/tmp}/hardened.$$" ||
    fail "$program" "has no stack protector"
  grep -q '__.*_chk\|buffer overflow detected' "${TMPDIR:-/tmp}/hardened.$$" ||
    fail "$program" "has no FORTIFY"
  rm "${TMPDIR:-/tmp}/hardened.$$"
  pads=$(objdump --disassemble --section=.text "$program" | grep -c endbr64) || pads=0
  [ "$pads" -gt 500 ] || fail "$program" "has $pads landing pads (CET)"
done
