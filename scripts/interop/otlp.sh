#!/usr/bin/env bash
# Compares the OTLP reader and receiver with OpenTelemetry's own code: protobuf by its classes, spans by its exporter.
# Use: scripts/interop/otlp.sh [BUILD_DIR]     (default: build/release)
# Needs the network once, for requirements-otlp.txt (SLMCONV_INTEROP_OTLP_VENV: where it goes).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:-build/release}
venv=${SLMCONV_INTEROP_OTLP_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/interop-otlp}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r scripts/interop/requirements-otlp.txt
"$venv/bin/python" scripts/interop/otlp.py check
"$venv/bin/python" scripts/interop/otlp.py export "$build/slmconv"
