#!/usr/bin/env bash
# Makes the small base model of the quick start from nothing: text for the tokenizer, tokenizer, corpus, training.
#
#   scripts/pretrain/pretrain.sh [OUT]        OUT (default build/pretrain) takes the corpus and the trained model
#
# SLMCONV    the program (default build/release/slmconv)
# TOKENS     tokens to train on (default 22000000)
# EXAMPLES   lines of the corpus (default 400000)
# INSTALL=1  copies the result over pipelines/quickstart/base-model
#
# Needs python3 and Debian's `sentencepiece` package (spm_train). Seeds are fixed: the tokenizer and the corpus come out byte for byte; the weights
# do too on one processor. Interrupted, it goes on from its last checkpoint when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
here="$root/scripts/pretrain"
out="$(realpath -m "${1:-$root/build/pretrain}")"
base="$root/pipelines/quickstart/base-model"
slmconv="${SLMCONV:-$root/build/release/slmconv}"
tokens="${TOKENS:-22000000}"
examples="${EXAMPLES:-400000}"

command -v spm_train >/dev/null || { echo "pretrain: spm_train is missing: apt-get install sentencepiece" >&2; exit 2; }
mkdir -p "$out/start"

python3 "$here/make_corpus.py" --seed 11 --examples 40000 --plain --out "$out/tokenizer.txt"
python3 "$here/train_tokenizer.py" --text "$out/tokenizer.txt" --vocab-size 3072 --out "$out/start"
cp "$base/chat_template.jinja" "$out/start/"

python3 "$here/make_corpus.py" --seed 2 --examples 2000 --out "$out/valid.jsonl"
python3 "$here/make_corpus.py" --seed 1 --examples "$examples" --exclude "$out/valid.jsonl" --out "$out/train.jsonl"

resume=()
[ -f "$out/model/checkpoint.safetensors" ] && resume=(--resume)
"$slmconv" models pretrain --config "$out/start/config.json" --tokenizer "$out/start" --corpus "$out/train.jsonl" --held-out "$out/valid.jsonl" --out "$out/model" \
  --tokens "$tokens" --batch-tokens 6144 --micro-tokens 8192 --length 256 --lr 2e-3 --warmup 150 --prompt-loss 0.3 --validate-every 300 --save-every 300 --seed 1 "${resume[@]}"

if [ "${INSTALL:-0}" = 1 ]; then
  for f in config.json generation_config.json model.safetensors tokenizer.model tokenizer_config.json special_tokens_map.json chat_template.jinja; do
    cp "$out/model/$f" "$base/$f"
  done
fi
echo "pretrain: the model is in $out/model"
