#!/usr/bin/env bash
# Builds slmconv. Use: scripts/build.sh [PRESET] [TARGET...]   (presets: CMakePresets.json; default release)
# The program is left at build/<preset>/slmconv. JOBS limits parallel compilers (default: all cores).
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}; [ $# -gt 0 ] && shift
# A precompiled header changes only with its headers: let ccache believe that.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log"; rm -f "build-$preset.log"; exit 1; }
rm -f "build-$preset.log"
targets=(); for t in "$@"; do targets+=(--target "$t"); done
cmake --build --preset "$preset" --parallel "${JOBS:-$(nproc)}" "${targets[@]}"
