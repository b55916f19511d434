#!/usr/bin/env bash
# usage: dispatcher-of-image.sh IMAGE    takes the dispatcher out of its image and puts it on the PATH of the steps that follow
. "$(dirname "$0")/lib.sh"
image=$1
folder=${RUNNER_TEMP:-/tmp}/trainyard-bin
mkdir -p "$folder"
# Never started: a container is only how docker gives access to an image's files.
container=$(docker create "$image") || die "there is no image $image" 69
trap 'docker rm "$container" >/dev/null' EXIT
docker cp -q "$container:/usr/local/bin/dispatcher" "$folder/dispatcher"
"$folder/dispatcher" --version
echo "$folder" >>"${GITHUB_PATH:-/dev/null}"
