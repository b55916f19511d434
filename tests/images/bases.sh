#!/usr/bin/env bash
# usage: bases.sh    makes the base images that the Dockerfiles and the compose file name, out of Debian's packages and this machine
# For machines that reach no registry of images. What each stands for, and what it is here:
#   debian:bookworm-slim   debootstrap's minimal Debian, with this machine's certificates
#   rust:1.95-bookworm     that, a C compiler, and this machine's own toolchain
#   rabbitmq:3.13          that, and Debian's rabbitmq-server (3.10) behind the official image's variables
#   motoserver/moto:5.2.5  that, and moto from PyPI
#   prom/prometheus:v3.5.0 that, and Debian's prometheus (2.42)
. "$(dirname "$0")/../../scripts/lib.sh"
folder=$tools/images
suite=bookworm
mkdir -p "$folder"

exists() { docker image inspect "$1" >/dev/null 2>&1; }

debian() {
  local rootfs=$folder/rootfs
  rm -rf "$rootfs"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$rootfs"
  # What this machine trusts, an image that is built on it has to trust.
  cp /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
  printf 'deb http://deb.debian.org/debian %s main\n' "$suite" >"$rootfs/etc/apt/sources.list"
  # pip does not look at the system's certificates by itself.
  tar -C "$rootfs" -c . | docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "debian:$suite-slim"
  rm -rf "$rootfs"
}

# build TAG    from a Dockerfile on stdin, with CONTEXT as its context
build() { docker build -q -t "$1" -f - "${CONTEXT:-$folder/empty}"; }

rust() {
  local sysroot; sysroot=$(rustc --print sysroot)
  CONTEXT=$sysroot build "rust:1.95-$suite" <<DOCKERFILE
FROM debian:$suite-slim
RUN apt-get update -q && apt-get install -qy --no-install-recommends build-essential pkg-config && rm -rf /var/lib/apt/lists/*
COPY . /usr/local/rust
ENV PATH=/usr/local/rust/bin:/usr/local/cargo/bin:\$PATH CARGO_HOME=/usr/local/cargo
DOCKERFILE
}

rabbitmq() {
  build rabbitmq:3.13 <<DOCKERFILE
FROM debian:$suite-slim
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
 && apt-get update -q && apt-get install -qy --no-install-recommends rabbitmq-server && rm -rf /var/lib/apt/lists/*
RUN printf '%s\n' '#!/bin/sh' \
  'printf "default_user = %s\ndefault_pass = %s\nloopback_users = none\n" "\$RABBITMQ_DEFAULT_USER" "\$RABBITMQ_DEFAULT_PASS" >/etc/rabbitmq/rabbitmq.conf' \
  'exec rabbitmq-server' >/usr/local/bin/start && chmod 755 /usr/local/bin/start
CMD ["start"]
DOCKERFILE
}

moto() {
  CONTEXT=$root/tests/python build motoserver/moto:5.2.5 <<DOCKERFILE
FROM debian:$suite-slim
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
COPY requirements-moto.txt /
RUN python3 -m venv /moto && /moto/bin/pip install -q --no-deps -r /requirements-moto.txt
ENV PATH=/moto/bin:\$PATH
CMD ["moto_server", "-H", "0.0.0.0", "-p", "5000"]
DOCKERFILE
}

prometheus() {
  build prom/prometheus:v3.5.0 <<DOCKERFILE
FROM debian:$suite-slim
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
 && apt-get update -q && apt-get install -qy --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["prometheus"]
DOCKERFILE
}

mkdir -p "$folder/empty"
for base in "debian debian:$suite-slim" "rust rust:1.95-$suite" "rabbitmq rabbitmq:3.13" "moto motoserver/moto:5.2.5" \
  "prometheus prom/prometheus:v3.5.0"; do
  read -r name tag <<<"$base"
  if exists "$tag"; then have "base image $tag"; else step "base image $tag" "$name"; fi
done
