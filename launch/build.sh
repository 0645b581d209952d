#!/usr/bin/env bash
# build.sh TESTS TARGET: installs what is missing, configures (TESTS is ON or OFF), builds TARGET.
# Output goes to stderr, so that a caller's stdout stays its own.
# The build directory is build/ or KLMESH_BUILD_DIR; a relative one counts from where it is called.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${KLMESH_BUILD_DIR:-$root/build}

"$root/launch/packages.sh" "$1"

launcher=""
if command -v ccache >/dev/null; then
  launcher=ccache
fi
options=(
  -DCMAKE_BUILD_TYPE="${KLMESH_BUILD_TYPE:-Release}" -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"
  -DCMAKE_CUDA_COMPILER_LAUNCHER="$launcher"
  -DKLMESH_BUILD_TESTS="$1" -DKLMESH_CUDA="${KLMESH_CUDA:-AUTO}" --no-warn-unused-cli
)
# An existing build directory keeps its generator.
[[ -f $build/CMakeCache.txt ]] || options+=(-G Ninja)
cmake -S "$root" -B "$build" "${options[@]}" >&2
cmake --build "$build" --target "$2" --parallel "${KLMESH_BUILD_JOBS:-$(nproc)}" >&2
