#!/usr/bin/env bash
# The long failure tests: every step of a job, zombies, chaos, leaks, and the three projects on fleets, on the pairs of queue and store in
# tests/src/fleet/pair.rs. One at a time, since each runs many processes; TRAINYARD_SEED=… repeats a chaos.
. "$(dirname "$0")/lib.sh"
cd "$root"
scripts/setup.sh judges
start=$(date +%s.%N)
printf '%s==>%s building the binaries and the failure tests (minutes the first time)\n' "$bold" "$plain"
# One feature set for both, or dependencies are compiled twice.
cargo build -q --workspace --bins || die "the build failed" $?
cargo test -q --workspace --test failure --test three_projects --no-run || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
# Their short forms are in `make test`.
cargo test --workspace --test failure --test three_projects -- --ignored --test-threads=1 --nocapture "$@"
