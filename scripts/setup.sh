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
  libcli11-dev libsqlite3-dev libssl-dev libopenblas-dev libsentencepiece-dev sentencepiece
  libtomlplusplus-dev libprotozero-dev libfmt-dev libspdlog-dev libexpected-dev libzstd-dev libbrotli-dev libvalijson-dev
  libpcre2-dev libutf8proc-dev libgloo-dev libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev
)
sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
# A new machine or image may hold no package lists yet, and without them nothing below can be looked up.
apt-cache show libfmt-dev >/dev/null 2>&1 || $sudo apt-get update -q >/dev/null
# A name that others only mention has no candidate (and apt 3 shows it all the same).
known() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null; }
# Debian 12 has two Boosts; the later one carries Boost.URL. Newer systems have one default that does.
if known libboost1.81-dev; then packages+=(libboost1.81-dev libboost-json1.81-dev)
else packages+=(libboost-dev libboost-json-dev); fi
if known libfaiss-dev; then packages+=(libfaiss-dev); fi
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

known libfaiss-dev || scripts/build_faiss.sh
if [ $torch = 1 ]; then
  if prefix=$(scripts/find_torch.sh); then
    echo "setup: libtorch found at $prefix"
  else
    venv=$(scripts/find_torch.sh --venv)
    echo "setup: installing torch $torch_version into $venv"
    python3 -m venv "$venv"
    pip() { "$venv/bin/pip" install -q --disable-pip-version-check "$@"; }
    # PyPI's wheel for x86-64 is a CUDA build. Without an NVIDIA device what it asks for besides (3 GB) stays away, but for
    # the two libraries that its CPU part names.
    if [ -e /proc/driver/nvidia ]; then pip "torch==$torch_version"
    else
      pip --no-deps "torch==$torch_version"
      cuda=$(find "$venv" -name libtorch_cuda.so)
      [ -z "$cuda" ] || pip --no-deps nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
    fi
    scripts/find_torch.sh >/dev/null
  fi
fi
echo "setup: done"
