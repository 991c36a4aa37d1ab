#!/usr/bin/env bash
# Installs what slmconv builds with: distribution packages (as root or with sudo) and libtorch from PyPI's torch wheel.
# Use: scripts/setup.sh [--dev] [--no-torch]
#   --dev       also clang, clang-format and clang-tidy (what scripts/check.sh and scripts/fuzz.sh need)
#   --no-torch  no libtorch: for a collector host built with SLM_TORCH=OFF
# A machine that has a fitting torch (2.6 or later, found by scripts/find_torch.sh) downloads none.
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.13.0
dev=0 torch=1
for arg in "$@"; do
  case "$arg" in
    --dev) dev=1 ;;
    --no-torch) torch=0 ;;
    *) sed -n '2,6p' "$0"; exit 2 ;;
  esac
done

packages=(
  g++ cmake ninja-build pkg-config git python3 python3-venv ccache mold
  libcli11-dev libsqlite3-dev libssl-dev libfaiss-dev libopenblas-dev libsentencepiece-dev sentencepiece
  libtomlplusplus-dev libprotozero-dev libfmt-dev libspdlog-dev libexpected-dev libzstd-dev libbrotli-dev libvalijson-dev
  libpcre2-dev libutf8proc-dev libgloo-dev libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev
)
sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
# A new machine or image may hold no package lists yet, and without them nothing below can be looked up.
apt-cache show libfmt-dev >/dev/null 2>&1 || $sudo apt-get update -q >/dev/null
known() { apt-cache show "$1" >/dev/null 2>&1; }
# Debian 12 has two Boosts; the later one carries Boost.URL. Newer systems have one default that does.
if known libboost1.81-dev; then packages+=(libboost1.81-dev libboost-json1.81-dev)
else packages+=(libboost-dev libboost-json-dev); fi
if [ $dev = 1 ]; then
  packages+=(shellcheck)
  for p in clang clang-format clang-tidy; do if known "$p-14"; then packages+=("$p-14"); else packages+=("$p"); fi; done
  for p in libclang-rt-14-dev libomp-14-dev; do if known $p; then packages+=("$p"); fi; done
fi

missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q >/dev/null
  $sudo apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ $torch = 1 ]; then
  if prefix=$(scripts/find_torch.sh); then
    echo "setup: libtorch found at $prefix"
  else
    venv=$(scripts/find_torch.sh --venv)
    echo "setup: installing torch $torch_version into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "torch==$torch_version"
    scripts/find_torch.sh >/dev/null
  fi
fi
echo "setup: done"
