#!/usr/bin/env bash
# What the fleet costs, beside Celery on the same RabbitMQ in the same run. The table goes to stdout and into
# docs/benchmarks/fleet.md.
. "$(dirname "$0")/lib.sh"
cd "$root"
scripts/setup.sh judges

celery() {
  local folder=$tools/celery want
  want=$(sha256sum <tests/python/requirements-celery.txt)
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$want" ]; then have "Celery"; return; fi
  rm -rf "$folder"
  step "a Python environment in .tools/celery" "${PYTHON:-python3}" -m venv "$folder"
  step "Celery" "$folder/bin/pip" install -q --no-deps -r tests/python/requirements-celery.txt
  echo "$want" >"$folder/.complete"
}

celery
start=$(date +%s.%N)
printf '%s==>%s building with the release profile, as images are (10 minutes and more the first time)\n' "$bold" "$plain"
# The whole workspace each time: another selection is another set of features, and all dependencies once more.
cargo build -q --release --workspace --bin dispatcher --bin worker || die "the build failed" $?
cargo bench -q --workspace --bench fleet --no-run || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
mkdir -p docs/benchmarks
BENCH_WRITE=$root/docs/benchmarks/fleet.md cargo bench -q --workspace --bench fleet
