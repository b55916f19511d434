#!/usr/bin/env bash
# usage: project.sh ACTION/PROJECT    make's projects.ACTION/PROJECT; ends with the exit code of what it ran
# Reads COMPONENT, WITHOUT_DOCKER, IMAGE_TAG, TARGET_BUILD_STAGE, USE_DOCKER_CACHE.
. "$(dirname "$0")/lib.sh"
cd "$root"
action=${1%%/*} project=${1#*/}
actions="build unit integration functional start stop"
projects=$(cd config && echo */ | tr -d /)

usage() { die "$1
  make projects.{build,unit,integration,functional,start,stop}/<project> COMPONENT=train [IMAGE_TAG=…] [TARGET_BUILD_STAGE=…] [USE_DOCKER_CACHE=false]
  without containers: WITHOUT_DOCKER=true
  projects: $projects" 64; }
[[ " $actions " == *" $action "* ]] || usage "there is no action $action; known: $actions"
[ -n "$project" ] && [[ " $projects " == *" $project "* ]] || usage "there is no project ${project:-(none given)} in config/"
[ "${COMPONENT:-}" = train ] || usage "COMPONENT=${COMPONENT:-(not set)}: this repository has the component train"
export PROJECT_NAME=$project IMAGE_TAG=${IMAGE_TAG:-local}

here() {
  case $action in
    stop) die "without containers there is nothing to stop: the job ends with its command, a worker by SIGTERM" 64 ;;
    functional) scripts/setup.sh && scripts/setup.sh consumer ;;
    *) scripts/setup.sh ;;
  esac
  scripts/build.sh
  [ "$action" = build ] || PATH="$root/target/debug:$PATH" scripts/component.sh "$action" "$project" "$IMAGE_TAG"
}

# The plug-in where it is there, else the program of old.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose -f docker-compose.dev.yaml --profile component "$@"
  elif command -v docker-compose >/dev/null; then docker-compose -f docker-compose.dev.yaml --profile component "$@"
  else die "there is no docker compose (Debian: apt-get install docker.io docker-compose), or say WITHOUT_DOCKER=true" 69; fi
}

in_containers() {
  local cache=()
  [ "${USE_DOCKER_CACHE:-true}" = true ] || cache=(--no-cache)
  case $action in
    build) compose build "${cache[@]}" train ;;
    start) compose run --rm train ;;
    stop) compose --profile fleet down ;;
    integration) compose run --rm train-integration ;;
    *) compose build "train-$action" && compose run --rm "train-$action" ;;
  esac
}

if [ "${WITHOUT_DOCKER:-}" = true ]; then here; else in_containers; fi
