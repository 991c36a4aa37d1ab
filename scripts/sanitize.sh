#!/usr/bin/env bash
# The tests of what faces outside input and holds keys, under the address and undefined behaviour sanitizers, and the
# program of a collector host, built without libtorch. It shares what scripts/fuzz.sh builds (Clang).
# Use: scripts/sanitize.sh     (all rooms, with GCC and the thread sanitizer too: scripts/check.sh --full)
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang++-14 >/dev/null || { echo "sanitize: clang++-14 is missing: scripts/setup.sh --dev" >&2; exit 2; }
rooms=(crypto store http call collect)
scripts/build.sh fuzz slmconv proxy_load "${rooms[@]/%/_test}"
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
failed=0
for room in "${rooms[@]}"; do
  log=build/fuzz/$room-test.log
  if "build/fuzz/tests/${room}_test" --gtest_brief=1 >"$log" 2>&1; then
    echo "sanitize: $room: $(sed -n 's/^\[  PASSED  \] //p' "$log") passed"
  else
    echo "sanitize: FAILED: $room"; grep -E 'ERROR|SUMMARY|runtime error|FAILED|#[0-9] .* in slm' "$log" | head -20; failed=1
  fi
done
# The program itself: commands, a live proxy and a receiver that are killed and started again.
for trial in "scripts/faults/canaries.py" "tests/cli/otlp_kill.py" "tests/cli/proxy_kill.py"; do
  kills=(); [[ $trial == *_kill.py ]] && kills=(2)
  if python3 "$trial" build/fuzz/slmconv build/fuzz/tests/proxy_load "${kills[@]}"; then :; else echo "sanitize: FAILED: $trial"; failed=1; fi
done
exit $failed
