#!/usr/bin/env bash
# Compares slmconv's HPKE with PyPI's pyhpke, both ways, on fresh keys, texts and associated data.
# Use: scripts/interop/hpke.sh [BUILD_DIR] [SEED]     (default: build/release, 7)
# Needs the network once, for requirements-hpke.txt (SLMCONV_INTEROP_HPKE_VENV: where it goes).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:-build/release}
seed=${2:-7}
venv=${SLMCONV_INTEROP_HPKE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/interop-hpke}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r scripts/interop/requirements-hpke.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/python" scripts/interop/hpke.py make "$work/theirs" --seed "$seed"
SLMCONV_INTEROP_HPKE=$work/theirs SLMCONV_INTEROP_HPKE_OUT=$work/ours \
  "$build/tests/crypto_test" --gtest_brief=1 --gtest_filter='Hpke.AgreesWithAFreshRunOfPyhpke'
"$venv/bin/python" scripts/interop/hpke.py open "$work/ours"
