#!/usr/bin/env bash
# usage: start.sh TAG PROJECT...   publishes each project's job, waits for it, ends with the table of versions
. "$(dirname "$0")/lib.sh"
cd "$root"
tag=$1; shift
# The worker that runs here is built from this tree: its build is the tag.
export TRAINYARD_BUILD_TAG=$tag
worst=0
for project in "$@"; do
  start=$(date +%s.%N)
  printf '\n%s==>%s %s\n' "$bold" "$plain" "$project"
  code=0
  target/debug/dispatcher publish --project "$project" --tag "$tag" --wait || code=$?
  printf '%s==>%s %s: exit code %s %s(%.1f s)%s\n' "$bold" "$plain" "$project" "$code" "$dim" "$(elapsed "$start")" "$plain"
  [ "$code" = 0 ] || [ "$worst" != 0 ] || worst=$code
done
printf '\n'
target/debug/dispatcher models
exit "$worst"
