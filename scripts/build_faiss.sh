#!/usr/bin/env bash
# Builds faiss where the distribution has no package of it (Ubuntu 24.04): its 1.7.3 release, as Debian mirrors it, checked by
# its hash, a static library under ~/.cache/slmconv/faiss. Called by scripts/setup.sh; cmake/SlmDependencies.cmake looks there.
set -euo pipefail
url=https://deb.debian.org/debian/pool/main/f/faiss/faiss_1.7.3.orig.tar.gz
sha256=3e4fac26d8c9e9008ecea4ae5fc414c658998fce4ba75835058b1a71d3516002
prefix=${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/faiss
[ -f "$prefix/share/faiss/faiss-config.cmake" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "setup: building faiss into $prefix (some minutes)"
python3 - "$url" "$work/faiss.tar.gz" <<'PY'
import sys, urllib.request
urllib.request.urlretrieve(sys.argv[1], sys.argv[2])
PY
echo "$sha256  $work/faiss.tar.gz" | sha256sum -c --quiet || { echo "setup: $url isn't the file it was" >&2; exit 1; }
# Its headers count on an include that GCC 13 no longer makes.
tar -xzf "$work/faiss.tar.gz" -C "$work" --strip-components=1
cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" -DFAISS_ENABLE_GPU=OFF \
  -DFAISS_ENABLE_PYTHON=OFF -DBUILD_TESTING=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_CXX_FLAGS="-include cstdint" >"$work/log" 2>&1 &&
  cmake --build "$work/build" --target faiss --parallel "$(nproc)" >>"$work/log" 2>&1 &&
  cmake --install "$work/build" >>"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
