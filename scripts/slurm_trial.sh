#!/usr/bin/env bash
# Tries pipelines/slurm/ on a Slurm of one node that it starts here for itself, on the quickstart's sample: a job array
# of three tasks, two processes in a job, and the same without Slurm. Exits 77 where slurm-wlm or munge isn't installed.
# Use: scripts/slurm_trial.sh [SLMCONV]
set -euo pipefail
cd "$(dirname "$0")/.."
slmconv=$(realpath "${1:-build/release/slmconv}")
for program in slurmctld slurmd munged sbatch; do
  PATH=$PATH:/usr/sbin command -v $program >/dev/null || { echo "no $program here (apt install slurm-wlm munge)"; exit 77; }
done
export PATH=$PATH:/usr/sbin
work=$(mktemp -d /tmp/slurm-trial.XXXXXX)
chmod 755 "$work"
started=()
finish() {
  scancel -u "$(id -un)" 2>/dev/null && sleep 2
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  [ -n "${KEEP:-}" ] || rm -rf "$work"
}
# The last lines of what ran here help more than a line number.
fail() { echo "slurm_trial: $*" >&2; tail -n 5 "$work"/*.log "$work"/logs/* >&2 2>/dev/null || true; exit 1; }
trap finish EXIT
trap 'fail "line $LINENO"' ERR

echo "== a Slurm of one node in $work"
mkdir "$work"/{munge,state,spool,logs}
chmod 700 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=128 count=1 status=none
chmod 400 "$work/munge/key"
chmod 711 "$work/munge"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --seed-file="$work/munge/seed" >"$work/munge.log" 2>&1 &
started+=($!)
port=$((21000 + $$ % 10000))
user=$(id -un)
cat >"$work/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=localhost
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=trial NodeHostname=$(hostname) NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=trial Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do [ -S "$work/munge/socket" ] && break; sleep 0.1; done
slurmctld -D -i >"$work/ctld.out.log" 2>&1 &
started+=($!)
slurmd -D -N trial >"$work/d.out.log" 2>&1 &
started+=($!)
for _ in $(seq 100); do [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break; sleep 0.3; done
[ "$(sinfo -h -o %T)" = idle ] || fail "the node doesn't come up"

echo "== a store of the sample"
export XDG_STATE_HOME=$work/xdg OMP_NUM_THREADS=1 SLMCONV_DEMO=1
at=("$slmconv" -q --store "$work/store" --identity "$work/keys")
"$slmconv" -q init "$work/store" --keys "$work/keys" --demo-seed 20260101 >"$work/make.log" 2>&1
{
  "${at[@]}" collect pipelines/quickstart/sample
  "${at[@]}" scrub --validation 0.06 --test 0.24 --rules pipelines/quickstart/rules.toml
  "${at[@]}" cluster
  "${at[@]}" models add pipelines/quickstart/base-model --licence Apache-2.0
  "${at[@]}" select
} >>"$work/make.log" 2>&1
cp -r "$work/store" "$work/plain"

flags=(--lora --rank 4 --max-steps 4 --max-examples 64 --max-validation 8 --dtype float32)
wait_for() { while [ -n "$(squeue -h -j "$1" 2>/dev/null)" ]; do sleep 0.5; done; }
export SLMCONV=$slmconv TASKS="t01 t05 t06" LOGS=$work/logs
echo "== three tasks as a job array"
job=$(pipelines/slurm/finetune.sh "$work/store" "$work/keys" "${flags[@]}")
echo "   $job"
wait_for "${job%%:*}"
echo "== the same without Slurm"
mkdir "$work/bin"  # what the script needs, and no sbatch
for program in bash dirname realpath sed; do ln -s "$(command -v $program)" "$work/bin/"; done
PATH=$work/bin pipelines/slurm/finetune.sh "$work/plain" "$work/keys" "${flags[@]}" >"$work/plain.log" 2>&1
for task in $TASKS; do
  [ "$(cat "$work/store/artifacts/finetune/current.$task")" = "$(cat "$work/plain/artifacts/finetune/current.$task")" ] \
    || fail "$task: another adapter than without Slurm"
done
echo "   the same three adapters"

echo "== two processes in one job"
job=$(TASKS=t05 SBATCH_OPTIONS="-n 2" pipelines/slurm/finetune.sh "$work/store" "$work/keys" "${flags[@]}" --seed 2)
echo "   $job"
job=${job%%:*}
wait_for "$job"
grep -h "2 processes started by slurm" "$work"/logs/"$job"_*.log || fail "not two processes"
grep -hq "^t05" "$work"/logs/"$job"_*.log || fail "no adapter"
echo "slurm_trial: done, with $(sinfo -V)"
