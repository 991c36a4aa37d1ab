#!/usr/bin/env bash
# Runs the quickstart pipeline with the given program into a folder of the test's own, twice, and checks what it made.
set -euo pipefail
program=$1 root=$2
work=$root/build/quickstart-test
rm -rf "$work"
cd "$root"
"$program" --json run pipelines/quickstart/pipeline.toml --work "$work" >"$root/build/quickstart-test.jsonl"
python3 tests/cli/check_quickstart.py "$work" "$root/build/quickstart-test.jsonl"
"$program" --json run pipelines/quickstart/pipeline.toml --work "$work" | tail -1 >"$work/second.json"
python3 - "$work/second.json" <<'PY'
import json, sys
last = json.load(open(sys.argv[1]))
assert last["message_type"] == "summary" and last["changed"] is False and last["exit_code"] == 0, last
print("second run: nothing new in", round(last["seconds"], 1), "s")
PY
