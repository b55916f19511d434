#!/usr/bin/env bash
# usage: repository-state.sh BASE    what CI does with this commit: its image tag, and the projects that changed since BASE
# As outputs of a step of GitHub Actions where GITHUB_OUTPUT is set, else to stdout.
. "$(dirname "$0")/lib.sh"
cd "$root"
base=${1:-}
tag=$(git rev-parse --short=12 HEAD)

all() { for folder in config/*/; do [ -e "${folder}prod.env" ] && basename "$folder"; done; }

# A project is its folder; everything else is shared, but for what no image and no job contains.
changed() {
  local path paths projects=()
  # No commit before (a new branch, a forced push): everything is new.
  if ! git cat-file -e "$base^{commit}" 2>/dev/null; then all; return; fi
  paths=$(git diff --name-only --no-renames "$base" HEAD)
  while read -r path; do
    case $path in
      '' | docs/* | *.md | tests/* | LICENSE | deny.toml | rustfmt.toml | clippy.toml) ;;
      config/*/*) projects+=("$(cut -d/ -f2 <<<"$path")") ;;
      *) all; return ;;
    esac
  done <<<"$paths"
  printf '%s\n' "${projects[@]}"
}

projects=$(changed | sort -u | awk 'NF { printf "%s\"%s\"", (n++ ? "," : ""), $0 }')
printf 'tag=%s\nprojects=[%s]\n' "$tag" "$projects" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
