#!/usr/bin/env bash
# Fine-tunes the tasks of a store, one Slurm job a task; without Slurm one after the other.
# Use: pipelines/slurm/finetune.sh STORE IDENTITY [flags of `slmconv finetune` …]      (without flags: --lora)
#   TASKS="t01 t05"        these tasks; unset: all but those that were excluded and open text (name it to train it)
#   SLMCONV=PROGRAM        unset: slmconv in PATH, else this tree's build/release/slmconv
#   SBATCH_OPTIONS="…"     of the jobs: -p gpu --gres=gpu:1, -c 8, -t 4:00:00, --array-limit by AT_ONCE=4
#   LOGS=DIR               where the jobs write; unset: STORE/../slurm-logs
# A job goes on from the checkpoint that an earlier one left when its time was up. With -n 2 in SBATCH_OPTIONS two
# processes share every step of a task.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,9p' "$0"; exit 2; fi
here=$(cd "$(dirname "$0")" && pwd)
store=$(realpath "$1") identity=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- --lora
slmconv=${SLMCONV:-$(command -v slmconv || echo "$here/../../build/release/slmconv")}
[ -x "$slmconv" ] || { echo "finetune.sh: no slmconv; set SLMCONV" >&2; exit 2; }

if [ -n "${TASKS:-}" ]; then
  read -ra tasks <<<"$TASKS"
else
  mapfile -t tasks < <("$slmconv" --store "$store" --identity "$identity" --json report tasks | python3 -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    if row["message_type"] == "result" and not row["excluded"]:
        if row["kind"] == "open_text":
            print("finetune.sh: %s (%s) is open text: left out" % (row["task"], row["name"]), file=sys.stderr)
        else:
            print(row["task"])')
fi
[ ${#tasks[@]} -gt 0 ] || { echo "finetune.sh: no task" >&2; exit 2; }

if ! command -v sbatch >/dev/null; then
  echo "finetune.sh: no sbatch here: ${#tasks[@]} tasks one after the other" >&2
  rc=0
  for task in "${tasks[@]}"; do
    "$slmconv" --store "$store" --identity "$identity" finetune "$task" "$@" --resume || rc=$?
    [ $rc != 130 ] || break
  done
  exit $rc
fi

logs=${LOGS:-$store/../slurm-logs}
mkdir -p "$logs"
read -ra options <<<"${SBATCH_OPTIONS:-}"
job=$(sbatch --parsable --array="0-$((${#tasks[@]} - 1))%${AT_ONCE:-${#tasks[@]}}" --output="$logs/%A_%a.log" \
  ${options[@]+"${options[@]}"} "$here/task.sbatch" "$slmconv" "$store" "$identity" "${tasks[*]}" "$@")
echo "$job: ${#tasks[@]} tasks; squeue -j $job, logs in $logs"
