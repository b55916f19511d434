#!/usr/bin/env bash
# usage: project.sh ACTION/PROJECT COMPONENT WITHOUT_DOCKER TAG    ends with the exit code of what it ran
. "$(dirname "$0")/lib.sh"
cd "$root"
action=${1%%/*} project=${1#*/} component=$2 without_docker=$3 tag=$4
actions="unit integration functional start"
projects=$(cd config && echo */ | tr -d /)

usage() { die "$1
  make projects.{unit,integration,functional,start}/<project> COMPONENT=train WITHOUT_DOCKER=true
  projects: $projects" 64; }
[[ " $actions " == *" $action "* ]] || usage "there is no action $action; known: $actions"
[ -n "$project" ] && [[ " $projects " == *" $project "* ]] || usage "there is no project ${project:-(none given)} in config/"
[ "$component" = train ] || usage "COMPONENT=${component:-(not set)}: this repository has the component train"
[ "$without_docker" = true ] || usage "containers are not there yet: say WITHOUT_DOCKER=true"

# Where integration and functional work: apart from what `start` registers.
scratch=.trainyard/$action/$project
dispatcher=target/debug/dispatcher
apart() { env TRAINYARD_QUEUE_URL="embedded:$scratch/queue.db" TRAINYARD_STORE_URL="file:$scratch/store" "$@"; }

# unit: settings and samples are valid, and the tests of the project's task pass
unit() {
  "$dispatcher" publish --project "$project" --tag "$tag" --dry-run >/dev/null
  # The whole workspace's libraries, so that nothing is built again that `make test` has built.
  cargo test -q --workspace --lib --test projects --test project_errors
}

# integration: the project's job on a queue and a store of its own
integration() {
  rm -rf "$scratch"
  apart "$dispatcher" publish --project "$project" --tag "$tag" --wait
}

# functional: the newest registered version, read as a consumer reads it
functional() {
  apart "$dispatcher" publish --project "$project" --tag "$tag" --wait
  .tools/python/bin/python tests/python/consumer.py "$scratch/store"
}

start() { "$dispatcher" publish --project "$project" --tag "$tag" --wait; }

if [ "$action" = functional ]; then scripts/setup.sh judges; else scripts/setup.sh; fi
scripts/build.sh
"$action"
