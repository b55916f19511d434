#!/usr/bin/env bash
# The long failure tests: every step of a job, zombies, chaos, leaks, on every pair of queue and store. About 25 minutes
# on two cores. One at a time, since each runs many processes; TRAINYARD_SEED=… repeats a chaos.
. "$(dirname "$0")/lib.sh"
cd "$root"
scripts/setup.sh judges
start=$(date +%s.%N)
printf '%s==>%s building the binaries and the failure tests (minutes the first time)\n' "$bold" "$plain"
cargo build -q --workspace --bins || die "the build failed" $?
cargo test -q -p tests --test failure --no-run || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
cargo test -p tests --test failure -- --include-ignored --test-threads=1 --nocapture "$@"
