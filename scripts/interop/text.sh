#!/usr/bin/env bash
# Checks tokenizers and chat templates against sentencepiece, transformers and jinja2: makes the recorded expectations of
# tests/data anew and compares, then renders every chat template of PyPI's trl with jinja2 and with us.
# Use: scripts/interop/text.sh [BUILD_DIR]     (default: build/release)
# Needs the network once, for the versions in requirements-text.txt and trl (SLMCONV_INTEROP_TEXT_VENV: where they go).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:-build/release}
trl=1.16.0
venv=${SLMCONV_INTEROP_TEXT_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/interop-text}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r scripts/interop/requirements-text.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONDONTWRITEBYTECODE=1
outside=../shared/data

echo "== recorded expectations"
if [ -d "$outside" ]; then
  "$venv/bin/python" scripts/interop/tokenizer.py "$work" --en-model "$outside/tokenizers/sentencepiece/en.model"
  "$venv/bin/python" scripts/interop/templates.py "$work/text" --templates "$outside/chat-templates"
  for name in tokenizer_expected conversations template_snippets template_renderings; do
    cmp "$work/text/$name.json" "tests/data/text/$name.json"
  done
  cmp "$work/tiny-tokenizer/tokenizer.model" tests/data/tiny-tokenizer/tokenizer.model
  cp -r tests/data/text/tokenizers "$work/text/"
  "$venv/bin/python" scripts/interop/tokenizer_json.py "$work/text" --outside "$outside/tokenizers" 2>/dev/null
  cmp "$work/text/tokenizer_json_expected.json" tests/data/text/tokenizer_json_expected.json
else
  echo "skipped: $outside is absent"
fi

echo "== tokenizer.json on random texts, with vocabularies made anew"
"$venv/bin/python" scripts/interop/tokenizer_json.py "$work/random" --train --random 3000 2>"$work/panics" ||
  { cat "$work/panics"; exit 1; }
SLMCONV_INTEROP_TOKENIZERS=$work/random "$build/tests/text_test" --gtest_brief=1 \
  --gtest_filter='TokenizerJson.MatchesTheLibraryOnRandomTexts'

echo "== every template of trl $trl"
"$venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$work/trl" "trl==$trl"
"$venv/bin/python" -m zipfile -e "$work"/trl/trl-*.whl "$work/trl"
"$venv/bin/python" scripts/interop/templates.py "$work/all" --templates "$work/trl/trl/chat_templates" --transformers
SLMCONV_INTEROP_TEMPLATES=$work/trl/trl/chat_templates SLMCONV_INTEROP_RENDERINGS=$work/all \
  "$build/tests/text_test" --gtest_brief=1 --gtest_filter='ChatTemplateTest.RealTemplatesRenderAsPythonDoes'

echo "== tool calls of each of them, written by the template and read back"
SLMCONV_INTEROP_TEMPLATES=$work/trl/trl/chat_templates "$build/tests/model_test" --gtest_brief=1 \
  --gtest_filter='CallFormat.RealTemplates'
