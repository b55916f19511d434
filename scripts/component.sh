#!/usr/bin/env bash
# usage: component.sh unit|integration|functional|start [PROJECT [TAG]]    by default $PROJECT_NAME and $IMAGE_TAG
# What the train component does with a project, in its container or out of it; ends with the exit code of what it ran.
. "$(dirname "$0")/lib.sh"
action=${1:-} project=${2:-${PROJECT_NAME:-}} tag=${3:-${IMAGE_TAG:-local}}
[ -n "$project" ] || die "PROJECT_NAME is not set: the project's folder below config/ (.envrc.example)" 64
# In an image the working folder has config/; the scripts lie elsewhere.
[ -d config ] || cd "$root"
[ -d "config/$project" ] || die "there is no project $project in config/; there are: $(cd config && echo */ | tr -d /)" 64

# Where integration and functional work: apart from what `start` registers.
scratch=.trainyard/integration/$project
apart() { env TRAINYARD_QUEUE_URL="embedded:$scratch/queue.db" TRAINYARD_STORE_URL="file:$scratch/store" "$@"; }

# unit: settings and samples are valid, and the tests of the project's task pass
unit() {
  dispatcher publish --project "$project" --tag "$tag" --dry-run >/dev/null
  # The whole workspace's libraries, so that nothing is built again that `make test` or the image's build has built.
  cargo test -q --profile "${TRAINYARD_CARGO_PROFILE:-dev}" --workspace --lib --test projects --test project_errors
}

# integration: the project's job on a queue and a store of its own, begun anew
integration() {
  rm -rf "$scratch"
  apart dispatcher publish --project "$project" --tag "$tag" --wait
}

# functional: what that registered, read as a consumer reads it
functional() {
  apart dispatcher publish --project "$project" --tag "$tag" --wait
  .tools/python/bin/python tests/python/consumer.py "$scratch/store"
}

start() { dispatcher publish --project "$project" --tag "$tag" --wait; }

case $action in
  unit | integration | functional | start) "$action" ;;
  *) die "there is no action ${action:-(none given)}; known: unit integration functional start" 64 ;;
esac
