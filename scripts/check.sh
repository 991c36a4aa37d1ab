#!/usr/bin/env bash
# What CI runs besides the tests: format, include lint, shell scripts, the sample's own check; and with --full also
# clang-tidy, the sanitizer builds and the build without libtorch.
# Use: scripts/check.sh [--full]
set -euo pipefail
cd "$(dirname "$0")/.."
full=0; [ "${1:-}" = --full ] && full=1
fail=0
step() { echo "check: $1"; shift; "$@" || { echo "check: FAILED: $*"; fail=1; }; }

sources() { git ls-files '*.cc' '*.h' | grep -E '^(lib|tools|tests)/'; }
format() { sources | xargs clang-format-14 --dry-run --Werror; }
if command -v clang-format-14 >/dev/null; then step format format; else echo "check: format skipped (clang-format-14 not installed: scripts/setup.sh --dev)"; fi
step includes python3 scripts/lint_includes.py
if command -v shellcheck >/dev/null; then step shell shellcheck -S warning scripts/*.sh .ci/run; fi
[ -f scripts/sample/check_sample.py ] && step sample python3 scripts/sample/check_sample.py

if [ $full = 1 ]; then
  # Clang can't read GCC's precompiled headers: its own compile commands, configured but not built.
  tidy() { cmake --preset tidy >/dev/null && sources | grep '\.cc$' | grep -E '^(lib|tools)/' | xargs -P "$(nproc)" -n 4 clang-tidy-14 -quiet -p build/tidy; }
  sanitized() { scripts/build.sh "$1" && ctest --test-dir "build/$1" --output-on-failure -j "$(nproc)"; }
  step "clang-tidy" tidy
  step "address and undefined sanitizers" sanitized asan
  step "thread sanitizer" sanitized tsan
  step "build without libtorch" sanitized no-torch
fi
exit $fail
