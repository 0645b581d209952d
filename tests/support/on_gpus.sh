#!/usr/bin/env bash
# on_gpus.sh RANKS SECONDS PROGRAM ARGS...: runs a program with one GPU per rank (RANKS 0: without mpirun), or under the
# command line in KLMESH_GPU_RUNNER. Exits with 77 (skipped) where there are neither GPUs enough nor a runner.
set -euo pipefail

ranks=$1
seconds=$2
shift 2

runner=()
if [[ -n ${KLMESH_GPU_RUNNER:-} ]]; then
  read -r -a runner <<<"$KLMESH_GPU_RUNNER"
else
  gpus=$( (nvidia-smi -L 2>/dev/null || true) | grep -c '^GPU' || true)
  if ((gpus < (ranks > 0 ? ranks : 1))); then
    echo "skipped: needs $((ranks > 0 ? ranks : 1)) GPU(s), found $gpus; KLMESH_GPU_RUNNER is not set"
    exit 77
  fi
fi
launcher=(timeout -k 5 "$seconds")
if ((ranks > 0)); then
  launcher+=(mpirun -n "$ranks")
fi
exec "${launcher[@]}" "${runner[@]}" "$@"
