#!/usr/bin/env bash
# packages.sh [TESTS] [PACKAGES...]: installs the Debian packages that building needs, with TESTS = ON those of the tests,
# and further ones.
# Does nothing, and needs no rights, if all are there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config git ca-certificates
  openmpi-bin libopenmpi-dev libhdf5-dev zlib1g-dev libssl-dev
  libhwy-dev libopenblas-dev librandom123-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev
  fortunes
)
if [[ ${1:-OFF} == ON ]]; then
  packages+=(libgtest-dev libgmock-dev python3-h5py)
fi
packages+=("${@:2}")

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $status == ii* || $status == hi* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "packages.sh: not root, and there is no sudo; have these installed first: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "packages.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "${missing[@]}" >&2
