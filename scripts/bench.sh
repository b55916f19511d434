#!/usr/bin/env bash
# Both benchmarks, each with its peers in the same run; the tables go to stdout and into docs/benchmarks/.
#   scripts/bench.sh             both
#   scripts/bench.sh fleet       what the fleet costs, beside Celery on the same RabbitMQ and the AWS SDK
#   scripts/bench.sh training    the trainer beside HF Trainer and KeyBERT; tests/bench/run.py has the variables that it reads
. "$(dirname "$0")/lib.sh"
cd "$root"
which=${1:-both}
case $which in fleet | training | both) ;; *) die "usage: scripts/bench.sh [fleet|training]" 64 ;; esac
scripts/setup.sh bench
start=$(date +%s.%N)
printf '%s==>%s building with the release profile, as images are (half an hour the first time on two cores)\n' "$bold" "$plain"
# The whole workspace each time: another selection is another set of features, and all dependencies once more.
cargo build -q --release --workspace --bin dispatcher --bin worker --bin trainer || die "the build failed" $?
cargo bench -q --workspace --bench fleet --no-run || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
mkdir -p docs/benchmarks
if [ "$which" != training ]; then
  BENCH_WRITE=$root/docs/benchmarks/fleet.md cargo bench -q --workspace --bench fleet
fi
if [ "$which" != fleet ]; then
  hub_cache=${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}
  model=$(find "$hub_cache/models--sentence-transformers--all-MiniLM-L6-v2/snapshots" -name model.safetensors -print -quit)
  BENCH_MODEL=${BENCH_MODEL:-$(dirname "$model")} BENCH_WRITE=$root/docs/benchmarks \
    .tools/bench/bin/python tests/bench/run.py target/release/trainer
fi
