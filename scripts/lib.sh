# Shared by the set-up scripts: says what a step does and how long it took. Sourced, not run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m'; dim=$'\e[2m'; red=$'\e[31m'; plain=$'\e[0m'; else bold='' dim='' red='' plain=''; fi

# step "what it does" COMMAND...   runs the command, quiet unless it fails
step() {
  local what=$1 start log; shift
  start=$(date +%s.%N); log=$(mktemp)
  printf '%s==>%s %s … ' "$bold" "$plain" "$what"
  if "$@" >"$log" 2>&1; then
    printf 'done %s(%.1f s)%s\n' "$dim" "$(elapsed "$start")" "$plain"
    rm -f "$log"
  else
    local code=$?
    printf '%sfailed%s\n' "$red" "$plain"
    tail -n 40 "$log" >&2
    die "$what failed (whole log: $log)" "$code"
  fi
}

have() { printf '%s==>%s %s: there already\n' "$bold" "$plain" "$1"; }
die() { printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2; exit "${2:-1}"; }
# seconds since a `date +%s.%N`
elapsed() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { print b - a }'; }

# as_root COMMAND...   for package managers
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "need root for: $*  (run it yourself, then repeat)"; fi; }
