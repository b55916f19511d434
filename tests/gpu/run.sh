#!/usr/bin/env bash
# Checks and measures training on this machine's GPU. usage: tests/gpu/run.sh [TRAINER]
# PYTHON: one with torch, transformers and accelerate (default python3). Ends with 77 where there is no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
trainer=${1:-$here/../../target/debug/trainer}
python=${PYTHON:-python3}
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "tests/gpu: NO CUDA DEVICE HERE, nothing was tested" >&2
  exit 77
fi
cd "$here" || exit 1
"$python" check.py "$trainer"
checked=$?
"$python" bench.py "$trainer"
measured=$?
exit $((checked || measured))
