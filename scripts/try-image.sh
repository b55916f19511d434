#!/usr/bin/env bash
# usage: try-image.sh PROJECT IMAGE    the project's job on a few rows, by the image's own code; registers nothing
# Queue and store are in the container and go with it. The exit code is the job's.
. "$(dirname "$0")/lib.sh"
cd "$root"
project=$1 image=$2
[ -d "config/$project" ] || die "there is no project $project in config/" 64
docker run --rm --env GITHUB_ACTIONS --env HF_TOKEN --env IMAGE_TAG="${image##*:}" --env JOB_PROJECT="$project" \
  --volume "$root/config:/trainyard/config:ro" "$image" sh -c '
    dispatcher publish --project "$JOB_PROJECT" --tag "$IMAGE_TAG" --sample --no-register >/tmp/job || exit
    code=0
    worker run --once || code=$?
    # Only for what it tells the page of the run.
    dispatcher wait "$(tail -n 1 /tmp/job)" --timeout 5s 2>&1 || true
    exit "$code"'
