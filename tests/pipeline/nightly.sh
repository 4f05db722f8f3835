#!/bin/bash
# nightly.sh: keeps a small image of a disk, and proves that a virtual machine can use it.
#
#   capture --used  ->  analyze  ->  shrink -c  ->  check, hash  ->  attach --start
#                   ->  a guest finds the disk and its content  ->  detach  ->  keep the image
#
# DISK     what is captured: a disk, or a snapshot of one
# STORE    the folder that keeps one image a day, and today's JSON documents beside it
# DOMAIN   a virtual machine that is shut off, and has nothing else to do: the one that looks
# CONSOLE  the file that its serial console is written to
# EXPECT   what it prints there when the content is right
#
# The first step that fails ends it, with that step's exit code. Then DOMAIN is as it was before,
# and STORE has nothing but what it had.
set -uo pipefail

: "${DISK:?}" "${STORE:?}" "${DOMAIN:?}" "${CONSOLE:?}" "${EXPECT:?}"
: "${IMGTOOL:=imgtool}" "${PATIENCE:=120}" "${TODAY:=$(date +%F)}"

work="" step="" started=""

# fail CODE TEXT
fail() {
  echo "nightly: $step: $2 (exit code $1)" >&2
  exit "$1"
}

# run COMMAND [ARGUMENT]...: imgtool's one JSON document goes to $work/STEP.json.
run() {
  step=$1
  "$IMGTOOL" "$@" --json >"$work/$step.json"
  local code=$?
  [[ $code -eq 0 ]] || fail "$code" "$(jq -r '.error.message // "failed"' "$work/$step.json")"
}

# expect WHAT FILTER: what the step's document must say.
expect() {
  jq -e "$2" "$work/$step.json" >/dev/null || fail 1 "the document does not say: $1"
}

power_off() {
  [[ -z $started ]] || virsh -q destroy "$DOMAIN" >/dev/null 2>&1
  started=""
}

# Nothing half-done: also after a signal.
clean_up() {
  local code=$?
  trap '' INT TERM
  if [[ -n $work ]]; then
    power_off
    "$IMGTOOL" detach --domain "$DOMAIN" --source "$work/small.qcow2" --if-present --config \
      >/dev/null 2>&1
    rm -rf "$work"
  fi
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# says TEXT: whether the guest's console has said it since it was started.
says() {
  local end=$((SECONDS + PATIENCE))
  until grep -qF -- "$1" "$CONSOLE" 2>/dev/null; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

step=prepare
[[ -d $STORE ]] || fail 1 "$STORE is no folder"
[[ $(virsh -q domstate "$DOMAIN") == "shut off" ]] || fail 1 "$DOMAIN is not shut off"
work=$(mktemp -d "$STORE/.nightly-XXXXXX") || fail 1 "no folder to work in"

run capture --used "$DISK" "$work/disk.qcow2"
expect "all of the disk was read" '.size > 0 and .unreadable == []'

run analyze "$work/disk.qcow2"
expect "the partition table is sound" '."partition-table".problems == []'
expect "nothing is stored that no file system uses" '.free.stored <= .free.size / 100'

run shrink -c "$work/disk.qcow2" "$work/small.qcow2"
expect "the disk did not grow" '."new-size" <= .size'
size=$(jq '."new-size"' "$work/shrink.json")

run check "$work/small.qcow2"
expect "the image is consistent" '."check-errors" == 0 and (.corruptions // 0) == 0'
run hash "$work/small.qcow2" # decodes every byte of it
expect "all of the content is there" ".size == $size"

serial=nightly-${TODAY//-/}
: >"$CONSOLE"
run attach --domain "$DOMAIN" --source "$work/small.qcow2" --serial "$serial" --start
started=yes
expect "it was attached, and the domain started" '.config and .started and .format == "qcow2"'

step=guest
says "serial $serial bytes $size" || fail 1 "the guest did not find the disk $serial"
says "$EXPECT" || fail 1 "the guest did not find '$EXPECT' on it"

target=$(jq -r .target "$work/attach.json")
run detach --domain "$DOMAIN" --target "$target" --timeout "$PATIENCE"
expect "guest and configuration are without it" '.live and .config'
power_off

# One document of everything that was found; the image comes last, under its final name at once.
step=keep
documents=()
for name in capture analyze shrink check hash attach detach; do
  documents+=(--slurpfile "$name" "$work/$name.json")
done
jq -n "${documents[@]}" '$ARGS.named | map_values(.[0])' >"$work/summary.json" ||
  fail 1 "the documents could not be put together"
mv -T "$work/small.qcow2" "$STORE/$TODAY.qcow2" || fail 1 "the image could not be kept"
mv -T "$work/summary.json" "$STORE/$TODAY.json" || fail 1 "the document could not be kept"
echo "nightly: $STORE/$TODAY.qcow2: $size bytes inside, $(stat -c %s "$STORE/$TODAY.qcow2") in the file"
