#!/usr/bin/env bash
# From a bare machine to a finished run: installs, builds, trains on 4 ranks. Further arguments go to `klmesh train`.
# The last line on stdout is the run directory; the exit code is the program's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${KLMESH_BUILD_DIR:-$root/build}
. "$root/launch/mpi_env.sh"

# The tests share the build directory: they stay configured if they are.
tests=OFF
if [[ -f $build/CMakeCache.txt ]] && grep -q '^KLMESH_BUILD_TESTS:BOOL=ON' "$build/CMakeCache.txt"; then
  tests=ON
fi
"$root/launch/build.sh" "$tests" klmesh_program

# Named here unless the caller names it, so that it can be printed whatever the program says.
run=""
previous=""
for argument in "$@"; do
  [[ $previous == --run ]] && run=$argument
  [[ $argument == --run=* ]] && run=${argument#--run=}
  previous=$argument
done
given=()
if [[ -z $run ]]; then
  run="runs/rlhf-$(date -u +%Y%m%dT%H%M%SZ)-$$"
  given=(--run "$run")
fi

code=0
mpirun -n 4 "$build/src/cli/klmesh" train "$root/configs/rlhf.toml" --mesh 2x2 "${given[@]}" "$@" || code=$?
if [[ -d $run ]]; then
  (cd "$run" && pwd)
fi
exit "$code"
