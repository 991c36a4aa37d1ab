#!/usr/bin/env bash
# Compares slmconv's GGUF files with llama.cpp, on models made now from a fresh seed, and writes the README's table.
# Use: scripts/interop/gguf.sh [BUILD_DIR] [SEED]     (default: build/release, 7)
# Needs the network once, for the versions in requirements.txt and requirements-gguf.txt, and some minutes to build llama.cpp
# (SLMCONV_INTEROP_VENV, SLMCONV_INTEROP_GGUF_VENV: where they go).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:-build/release}
seed=${2:-7}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/slmconv
makers=${SLMCONV_INTEROP_VENV:-$cache/interop}
readers=${SLMCONV_INTEROP_GGUF_VENV:-$cache/interop-gguf}
for pair in "$makers requirements" "$readers requirements-gguf"; do
  read -r venv file <<<"$pair"
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  CMAKE_ARGS="-DGGML_NATIVE=ON" "$venv/bin/pip" install -q --disable-pip-version-check -r "scripts/interop/$file.txt"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONDONTWRITEBYTECODE=1

echo "== number formats against the gguf package"
"$readers/bin/python" scripts/interop/gguf_files.py reference "$work/reference.gguf"
cmp "$work/reference.gguf" tests/data/gguf/reference.gguf
echo "== every family, with an adapter; the bundled model; tokenizers of real models"
"$makers/bin/python" scripts/interop/gguf_files.py make "$work/models" --seed "$seed" 2>"$work/progress" || { cat "$work/progress"; exit 1; }
SLMCONV_INTEROP_GGUF=$work/models "$build/tests/model_test" --gtest_brief=1 --gtest_filter='GgufInterop.*'
"$readers/bin/python" scripts/interop/gguf_files.py compare "$work/models" "$work/table"
"$readers/bin/python" scripts/interop/gguf_files.py table "$work/table" >"$build/gguf.md"
python3 - "$build/gguf.md" README.md <<'PY'
import pathlib, re, sys
table, readme = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
text = readme.read_text()
new = re.sub(r"(<!-- gguf:begin.*?-->\n).*?(<!-- gguf:end -->)", lambda m: m[1] + table + m[2], text, flags=re.S)
readme.write_text(new)
print("README.md: the GGUF table", "changed" if new != text else "stays as it is")
PY
