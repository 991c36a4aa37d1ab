#!/usr/bin/env bash
# Builds slmconv and runs every test. Use: scripts/test.sh [ctest arguments...]
# Sets up what is missing first. The last lines are ctest's own counts and "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh release
log=build/test.log
rc=0
ctest --test-dir build/release --output-on-failure --parallel "$(nproc)" "$@" 2>&1 | tee "$log" || rc=${PIPESTATUS[0]}
python3 scripts/count_tests.py "$log"
exit "$rc"
