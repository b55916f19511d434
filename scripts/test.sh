#!/usr/bin/env bash
# Everything that is tested, from a fresh clone: set-up, build, then one `cargo test` over the workspace.
. "$(dirname "$0")/lib.sh"
cd "$root"
scripts/setup.sh judges
export HF_HUB_DISABLE_TELEMETRY=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
start=$(date +%s.%N)
printf '%s==>%s building everything and its tests (minutes the first time)\n' "$bold" "$plain"
cargo build -q --workspace --all-targets || die "the build failed" $?
printf '%s==>%s built %s(%.1f s)%s\n' "$bold" "$plain" "$dim" "$(elapsed "$start")" "$plain"
cargo test --workspace --no-fail-fast "$@"
