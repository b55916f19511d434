#!/usr/bin/env bash
# Builds the three binaries. Cargo's own progress is shown: the first build takes minutes.
. "$(dirname "$0")/lib.sh"
cd "$root"
start=$(date +%s.%N)
printf '%s==>%s building dispatcher, worker and trainer (minutes the first time)\n' "$bold" "$plain"
# The workspace's features, which the tests are built with too, so that nothing is built twice.
cargo build -q --workspace --bin dispatcher --bin worker --bin trainer || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
