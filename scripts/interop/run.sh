#!/usr/bin/env bash
# Compares slmconv's network with transformers, peft and bitsandbytes, both ways, on models made now from a fresh seed.
# Use: scripts/interop/run.sh [BUILD_DIR] [SEED]     (default: build/release, 7)
# Needs the network once, for the versions in requirements.txt (SLMCONV_INTEROP_VENV: where they go).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:-build/release}
seed=${2:-7}
venv=${SLMCONV_INTEROP_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/interop}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r scripts/interop/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
families=("$venv/bin/python" scripts/interop/families.py)

echo "== every family, NF4, distillation: logits, an adapter's logits, gradients, decoding"
"${families[@]}" make "$work/families" --seed "$seed" --gradients
"${families[@]}" distil "$work/families"
"${families[@]}" logged "$work/families"
"$venv/bin/python" scripts/interop/recurrence.py "$work/families"
SLMCONV_INTEROP_FAMILIES=$work/families SLMCONV_INTEROP_TABLE=$work/table SLMCONV_INTEROP_MERGED=$work/merged "$build/tests/nn_test" --gtest_brief=1 --gtest_filter='*Family*:Nf4.*:Distil.*'
echo "== 20 AdamW steps"
SLMCONV_INTEROP_FAMILIES=$work/families SLMCONV_INTEROP_TABLE=$work/table "$build/tests/finetune_test" --gtest_brief=1 --gtest_filter='*TwentyAdamW*'
echo "== logits through the program"
"${families[@]}" logits "$build/slmconv" "$work/families"
echo "== answers of a random model constrained to schemas, and to calls of tools in every family's form, in jsonschema"
SLMCONV_INTEROP_SAMPLES=$work/samples.jsonl "$build/tests/model_test" --gtest_brief=1 --gtest_filter='TokenMask.*Random*:CallGrammar.Random*'
"$venv/bin/python" scripts/interop/grammar.py "$work/samples.jsonl"
echo "== our adapters of every family in peft, our merged models in transformers"
SLMCONV_INTEROP_FAMILIES=$work/families SLMCONV_INTEROP_OUT=$work/ours "$build/tests/finetune_test" --gtest_brief=1 --gtest_filter='Peft.*'
"${families[@]}" adapters "$work/families" "$work/ours" "$work/merged" "$work/table"
"${families[@]}" table "$work/table" >"$build/support.md"
python3 - "$build/support.md" README.md <<'PY'
import pathlib, re, sys
table, readme = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
text = readme.read_text()
new = re.sub(r"(<!-- support:begin.*?-->\n).*?(<!-- support:end -->)", lambda m: m[1] + table + m[2], text, flags=re.S)
readme.write_text(new)
print("README.md: the support table", "changed" if new != text else "stays as it is")
PY
