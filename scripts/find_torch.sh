#!/usr/bin/env bash
# Prints the CMake prefix of a fitting libtorch (2.6 or later), or fails. Looks at, in this order:
# $Torch_DIR, $CMAKE_PREFIX_PATH, the active Python's torch, the virtual environment made by scripts/setup.sh.
# With --venv prints where that virtual environment is (SLMCONV_VENV overrides it).
set -euo pipefail
venv=${SLMCONV_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/slmconv/venv}
[ "${1:-}" = --venv ] && { echo "$venv"; exit 0; }

fits() {  # fits PREFIX: its version file says 2.6 or later
  local file="$1/Torch/TorchConfigVersion.cmake" version
  [ -f "$file" ] || return 1
  version=$(sed -n 's/^set(PACKAGE_VERSION "\([0-9]*\.[0-9]*\).*/\1/p' "$file")
  [ -n "$version" ] && [ "$(printf '2.6\n%s\n' "$version" | sort -V | head -1)" = 2.6 ]
}
from_python() {  # the share/cmake of a Python's torch, without importing it
  "$1" - 2>/dev/null <<'PY'
import importlib.util, os
spec = importlib.util.find_spec("torch")
print(os.path.join(os.path.dirname(spec.origin), "share", "cmake") if spec and spec.origin else "")
PY
}
if [ -n "${Torch_DIR:-}" ] && fits "$(dirname "$Torch_DIR")"; then dirname "$Torch_DIR"; exit 0; fi
IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
for p in "${prefixes[@]}"; do
  for d in "$p" "$p/share/cmake"; do if fits "$d"; then echo "$d"; exit 0; fi; done
done
for python in python3 "$venv/bin/python"; do
  command -v "$python" >/dev/null || continue
  p=$(from_python "$python") || continue
  if [ -n "$p" ] && fits "$p"; then echo "$p"; exit 0; fi
done
echo "no libtorch 2.6 or later found; run scripts/setup.sh" >&2
exit 1
