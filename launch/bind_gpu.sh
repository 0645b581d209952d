#!/usr/bin/env bash
# bind_gpu.sh PROGRAM ARGS...: lets each rank of a node see one GPU alone, by its launcher's local rank, and starts it:
#   mpirun -n 8 launch/bind_gpu.sh klmesh eval --backend cuda FILE.h5        srun -N2 -n8 launch/bind_gpu.sh ...
# A list in CUDA_VISIBLE_DEVICES is what is shared out. Not needed by klmesh itself, which takes the GPU of its local rank;
# for programs that do not, and for those that make a context on every GPU that they see.
set -euo pipefail

if (($# == 0)); then
  echo "usage: bind_gpu.sh PROGRAM ARGS..." >&2
  exit 64
fi

local_rank=""
for name in OMPI_COMM_WORLD_LOCAL_RANK MV2_COMM_WORLD_LOCAL_RANK MPI_LOCALRANKID PMI_LOCAL_RANK PALS_LOCAL_RANKID \
            SLURM_LOCALID; do
  if [[ ${!name:-} =~ ^[0-9]+$ ]]; then
    local_rank=$((10#${!name}))
    break
  fi
done
if [[ -z $local_rank ]]; then
  echo "bind_gpu.sh: no launcher says which local rank this is (looked for Open MPI, MVAPICH, Hydra, PMI, PALS, Slurm)" >&2
  exit 69
fi

if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
  IFS=, read -r -a gpus <<<"$CUDA_VISIBLE_DEVICES"
else
  count=$( (nvidia-smi -L 2>/dev/null || true) | grep -c '^GPU' || true)
  gpus=()
  for ((gpu = 0; gpu < count; ++gpu)); do gpus+=("$gpu"); done
fi
if ((local_rank >= ${#gpus[@]})); then
  echo "bind_gpu.sh: local rank $local_rank, but ${#gpus[@]} GPU(s): more ranks on this node than GPUs" >&2
  exit 69
fi
export CUDA_VISIBLE_DEVICES=${gpus[$local_rank]}
exec "$@"
