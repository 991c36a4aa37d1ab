#!/usr/bin/env bash
# Sets up, builds and runs the quickstart: the bundled sample log through S1 to S6 with the bundled base model, offline.
# Use: scripts/quickstart.sh [--fresh]     --fresh forgets an earlier run's store first
# Leaves build/quickstart/{report.html,report.md,summary.json}. Prints how long set-up, build and run took.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --fresh ]; then rm -rf build/quickstart; fi

start=$(date +%s)
scripts/setup.sh
setup_done=$(date +%s)
scripts/build.sh release slmconv
build_done=$(date +%s)
rc=0
build/release/slmconv run pipelines/quickstart/pipeline.toml || rc=$?
run_done=$(date +%s)
printf 'set-up %d s, build %d s, run %d s\n' $((setup_done - start)) $((build_done - setup_done)) $((run_done - build_done))
exit $rc
