#!/bin/sh
# usage: libtorch.sh FOLDER cpu|inf1|gpu    puts the one libtorch that tch 0.24 works with into FOLDER/torch, from PyPI
# Images run this file alone, so it needs no other one, and a change of it is a new layer of 0.5 GB (cpu) or more.
set -eu
folder=$1 accelerator=$2
torch=torch==2.11.0
python=${PYTHON:-python3}
case $accelerator in
  # libtorch_cpu.so links to these two small ones; the rest of CUDA is never called without a GPU.
  cpu | inf1) set -- --no-deps "$torch" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 ;;
  gpu) set -- "$torch" ;;
  *) echo "error: there is no libtorch for $accelerator; known: cpu inf1 gpu" >&2; exit 64 ;;
esac
"$python" -m pip install -q --root-user-action=ignore --no-cache-dir --target "$folder" "$@"
