#!/usr/bin/env bash
# What only a real process shows: a signal ends a wait for standard input, and output that can't be written is said.
# Use: process.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state
unset SLMCONV_STORE SLMCONV_IDENTITY
fail() { echo "process: $*" >&2; exit 1; }

"$program" init "$work/store" --keys "$work/keys" >/dev/null 2>&1 || fail "init"

mkfifo "$work/pipe"
exec 3<>"$work/pipe"  # a writer that never writes
"$program" --store "$work/store" --identity "$work/keys" collect - <"$work/pipe" >"$work/out" 2>&1 &
pid=$!
sleep 1
kill -TERM "$pid"
for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
kill -0 "$pid" 2>/dev/null && { kill -KILL "$pid"; fail "SIGTERM didn't end a wait for standard input within 10 s"; }
rc=0; wait "$pid" || rc=$?
[ "$rc" = 130 ] || fail "SIGTERM in a wait for standard input: exit $rc, not 130: $(cat "$work/out")"

if [ -w /dev/full ] && [ -c /dev/full ]; then
  rc=0; "$program" --store "$work/store" store info >/dev/full 2>"$work/err" || rc=$?
  [ "$rc" = 41 ] || fail "a full device behind standard output: exit $rc, not 41"
  grep -q "standard output" "$work/err" || fail "a full device behind standard output: no message"
fi
rc=0; "$program" --store "$work/store" scrub --try - <&- >"$work/out" 2>&1 || rc=$?
! grep -q "internal error" "$work/out" || fail "a closed standard input is an internal error"
echo "process: as a shell expects"
