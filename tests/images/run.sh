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
  trap 'restore; stop_daemon' EXIT
  local tries=0
  until docker info >/dev/null 2>&1; do
    kill -0 "$dockerd" 2>/dev/null || die "dockerd ended: $folder/dockerd.log"
    tries=$((tries + 1)); [ "$tries" -lt 240 ] || die "dockerd does not answer: $folder/dockerd.log"
    sleep 0.25
  done
}

# By the id that it wrote: what runs in the background here is a shell around it.
stop_daemon() {
  local pid; pid=$(cat "$folder/docker.pid" 2>/dev/null) || return 0
  as_root kill "$pid" && wait "$dockerd" || true
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

# The guide's example of a build. Without cache it builds all there is, as the first build does anyway; so only then.
example() {
  local cache=false
  if docker image inspect "$IMAGE_REGISTRY/sentiment-train:1.4.0" >/dev/null 2>&1; then cache=true; fi
  expect 0 "image of another stage and tag, USE_DOCKER_CACHE=$cache" \
    target build sentiment IMAGE_TAG=1.4.0 TARGET_BUILD_STAGE=development USE_DOCKER_CACHE=$cache
  expect 0 "which has the tests" docker image inspect "$IMAGE_REGISTRY/sentiment-train:1.4.0"
  says TRAINYARD_CARGO_PROFILE=
}

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
  grep -q "^${setting%%=*}=" "$file" || die "$file has no ${setting%%=*}"
  cp -p "$file" "$folder/setting" && changed=$file
  sed -i "s|^${setting%%=*}=.*|$setting|" "$file"
  "$@" || code=$?
  restore
  return "$code"
}
changed=
restore() { [ -z "$changed" ] || cp -p "$folder/setting" "$changed"; changed=; }

# says PATTERN    the output of the last expect has it
says() {
  if grep -qE -- "$1" "$last"; then printf 'ok      it says %s\n' "$1"
  else printf '%sFAILED%s  it does not say %s\n' "$red" "$plain" "$1"; tail -n 60 "$last"; failures=$((failures + 1)); fi
}

# spoil FILE    changes every score of what the last integration of sentiment registered
spoil() {
  docker run --rm -v "${COMPOSE_PROJECT_NAME}_yard:/yard" debian:bookworm-slim sh -c '
    found=$(find /yard/integration/sentiment/store -path "*/model/test_files/predictions")
    [ -n "$found" ] && sed -i "s/\"score\": *[0-9.]*/\"score\": 0.5/g" $found'
}

# A project as its owner runs it.
component() {
  local env_file=config/sentiment/dev.env
  expect 0 "unit of sentiment" target unit sentiment
  expect 64 "unit with a planted fault: a setting that is none" with_setting $env_file 'EPOCHS=many' target unit sentiment
  says EPOCHS
  expect 0 "start sentiment" target start sentiment
  says SEN-TRAINED-1
  # Another gate, another job: nothing was built between.
  expect 10 "start sentiment below its gate, by a changed setting alone" with_setting $env_file 'GATE=macro_recall>=0.9999' target start sentiment
  expect 10 "integration with a planted fault: a gate that no model reaches" with_setting $env_file 'GATE=macro_recall>=0.9999' target integration sentiment
  expect 0 "integration of sentiment" target integration sentiment
  expect 0 "functional of sentiment" target functional sentiment
  step "planting a fault: other scores in what was registered" spoil
  expect 1 "functional with a planted fault" target functional sentiment
  says 'SEN-TRAINED-1: predictions .* registered'
  expect 64 "a project that is not there" target start weather
  says 'keywords'
  expect 0 "the guide's environment" env -u PROJECT_NAME -u IMAGE_TAG bash -c '
    set -a; . ./.envrc.example; set +a; docker-compose -f docker-compose.dev.yaml config -q'
  expect 0 "start without containers" target start sentiment WITHOUT_DOCKER=true
  says SEN-TRAINED-
}

# The three projects on RabbitMQ and S3, with two workers.
fleet() {
  export PROJECT_NAME=sentiment
  local project
  fleet_compose() { compose --profile fleet "$@"; }
  inside() { fleet_compose exec -T dispatcher "$@"; }
  # Not grafana, whose image no package of Debian makes.
  expect 0 "the fleet" fleet_compose up -d --scale worker=2 dispatcher worker prometheus
  expect 0 "the doctor has no complaint" inside dispatcher doctor
  for project in keywords sentiment ner; do
    expect 0 "publish $project" inside dispatcher publish --project "$project" --tag "$IMAGE_TAG"
  done
  for project in keywords sentiment ner; do
    expect 0 "$project is registered" inside dispatcher publish --project "$project" --tag "$IMAGE_TAG" --wait
  done
  expect 0 "the three in the bucket" inside dispatcher models
  says KEYWORDS-TRAINED-1; says SEN-TRAINED-1; says NER-TRAINED-1
  expect 0 "prometheus sees the dispatcher and both workers" query 'sum(up)' 3
  expect 0 "prometheus counts what was registered" query 'sum(trainyard_jobs_total{outcome="registered"})' 3
  expect 0 "stop" target stop sentiment
}

# query PROMQL VALUE    asks until it is so, half a minute at most
query() {
  local tries=0 got
  until got=$(inside_prometheus "$1") && grep -q "\"$2\"\]" <<<"$got"; do
    tries=$((tries + 1)); [ "$tries" -lt 15 ] || { echo "$1: $got"; return 1; }
    sleep 2
  done
}
inside_prometheus() {
  local asked; asked=$(python3 -c 'import sys, urllib.parse as u; print(u.quote(sys.argv[1]))' "$1")
  fleet_compose exec -T prometheus wget -q -O - "http://localhost:9090/api/v1/query?query=$asked"
}

setup_all() { packages; daemon; tests/images/bases.sh; scripts/setup.sh; }
setup_all
# What an earlier run left would be found instead of trained.
PROJECT_NAME=sentiment compose --profile component --profile fleet down -v >/dev/null 2>&1 || true

example
for project in keywords ner sentiment; do expect 0 "image of $project" target build "$project"; done
expect 0 "image of the dispatcher" env PROJECT_NAME=sentiment docker-compose -f docker-compose.dev.yaml --profile fleet build dispatcher
step "the base model for the containers" models
component
fleet

printf '\n%s==>%s sizes\n' "$bold" "$plain"
docker image ls --filter dangling=false --format '{{.Size}}\t{{.Repository}}:{{.Tag}}' | sort -u
[ "$failures" = 0 ] || die "$failures failed"
