#!/usr/bin/env bash
# `make test-images`: the images and the compose file, built and run as an owner of a project does. Needs root, since it starts
# a docker daemon of its own; base images are made by bases.sh where they are not there. CARGO_PROFILE=release builds what CI
# pushes, at half an hour more.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$root"
export CARGO_PROFILE=${CARGO_PROFILE:-dev} IMAGE_TAG=${IMAGE_TAG:-test} COMPOSE_PROJECT_NAME=trainyard-test
export IMAGE_REGISTRY=${IMAGE_REGISTRY:-063759612765.dkr.ecr.us-east-1.amazonaws.com}
folder=$tools/images
mkdir -p "$folder"

packages() {
  local missing=()
  for program in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap iptables:iptables; do
    command -v "${program%%:*}" >/dev/null || missing+=("${program#*:}")
  done
  [ ${#missing[@]} = 0 ] && return
  step "apt-get update" as_root apt-get update -q
  step "installing ${missing[*]}" as_root apt-get install -qy --no-install-recommends "${missing[@]}"
}

# A daemon of our own, with its images below .tools; stopped at the end by its id.
daemon() {
  export DOCKER_HOST=unix://$folder/docker.sock
  as_root dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/docker.pid" -H "$DOCKER_HOST" \
    >"$folder/dockerd.log" 2>&1 &
  dockerd=$!
  trap 'restore; as_root kill "$dockerd"; wait "$dockerd" || true' EXIT
  local tries=0
  until docker info >/dev/null 2>&1; do
    kill -0 "$dockerd" 2>/dev/null || die "dockerd ended: $folder/dockerd.log"
    tries=$((tries + 1)); [ "$tries" -lt 240 ] || die "dockerd does not answer: $folder/dockerd.log"
    sleep 0.25
  done
}

failures=0
# expect CODE "what" COMMAND...    runs it; its output is shown where the code is another
expect() {
  local code=$1 what=$2 log start got=0; shift 2
  log=$(mktemp); start=$(date +%s.%N)
  "$@" >"$log" 2>&1 </dev/null || got=$?
  # make has one code for whatever fails, and names the recipe's in its last line.
  if [ "$got" = 2 ]; then got=$(sed -n 's/^make[^:]*: \*\*\* .* Error \([0-9]*\)$/\1/p' "$log" | tail -n 1); fi
  if [ "$got" = "$code" ]; then printf 'ok      %s: exit code %s %s(%.0f s)%s\n' "$what" "$got" "$dim" "$(elapsed "$start")" "$plain"
  else printf '%sFAILED%s  %s: exit code %s, expected %s\n' "$red" "$plain" "$what" "$got" "$code"; tail -n 60 "$log"; failures=$((failures + 1)); fi
  last=$log
}
target() { make --no-print-directory "projects.$1/$2" COMPONENT=train "${@:3}"; }
compose() { docker-compose -f docker-compose.dev.yaml "$@"; }

# The base model where a container's hub client looks for it, since no hub can be asked.
models() {
  local cache=${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}
  docker volume create "${COMPOSE_PROJECT_NAME}_models" >/dev/null
  docker run --rm -v "${COMPOSE_PROJECT_NAME}_models:/to" -v "$cache:/from:ro" debian:bookworm-slim \
    sh -c 'mkdir -p /to/hub && cp -a /from/models--sentence-transformers--all-MiniLM-L6-v2 /to/hub/ && chown -R 10001:10001 /to'
}

# with_setting FILE KEY=VALUE COMMAND...    runs it while the file says so; without another build
with_setting() {
  local file=$1 setting=$2 code=0; shift 2
  cp -p "$file" "$folder/setting" && changed=$file
  sed -i "s|^${setting%%=*}=.*|$setting|" "$file"
  "$@" || code=$?
  restore
  return "$code"
}
changed=
restore() { [ -z "$changed" ] || cp -p "$folder/setting" "$changed"; changed=; }

setup_all() { packages; daemon; tests/images/bases.sh; scripts/setup.sh; }
setup_all
# What an earlier run left would be found instead of trained.
PROJECT_NAME=sentiment compose --profile component --profile fleet down -v >/dev/null 2>&1 || true

for project in keywords ner sentiment; do expect 0 "image of $project" target build "$project"; done
expect 0 "image of the dispatcher" env PROJECT_NAME=sentiment docker-compose -f docker-compose.dev.yaml --profile fleet build dispatcher
step "the base model for the containers" models

expect 0 "start sentiment" target start sentiment
grep -q "SEN-TRAINED-1" "$last" || { echo "no SEN-TRAINED-1 in its output"; failures=$((failures + 1)); }
env_file=config/sentiment/dev.env
# Another gate, another job: nothing was built between.
expect 10 "start sentiment below its gate, by a changed setting alone" with_setting $env_file 'GATE=macro_recall>=0.9999' target start sentiment
expect 0 "integration" target integration sentiment
expect 10 "integration with a planted fault" with_setting $env_file 'GATE=macro_recall>=0.9999' target integration sentiment

printf '\n%s==>%s sizes\n' "$bold" "$plain"
docker image ls --format '{{.Size}}\t{{.Repository}}:{{.Tag}}' | sort -u
[ "$failures" = 0 ] || die "$failures failed"
