#!/usr/bin/env bash
# Installs, builds with tests, and runs them. Further arguments go to ctest; the exit code is ctest's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${KLMESH_BUILD_DIR:-$root/build}
. "$root/launch/mpi_env.sh"

"$root/launch/build.sh" ON all
exec ctest --test-dir "$build" --output-on-failure "$@"
