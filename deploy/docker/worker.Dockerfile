# The image of a project's train component: worker and trainer, and the dispatcher for a machine of its own.
#   docker build -f deploy/docker/worker.Dockerfile --target production --build-arg ACCELERATOR=cpu|gpu|inf1 .
# No settings are inside: they come from the environment, or from a mounted config/.

# Of debian: the system below everything; a name like bookworm-slim.
ARG BASE_IMAGE_TAG=bookworm-slim
ARG RUST_IMAGE_TAG=1.95-bookworm

# libtorch alone: this layer changes with its version and with nothing else.
FROM debian:${BASE_IMAGE_TAG} AS libtorch
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends python3-pip ca-certificates \
 && rm -rf /var/lib/apt/lists/*
ARG ACCELERATOR=cpu
COPY scripts/libtorch.sh /tmp/
RUN /tmp/libtorch.sh /opt/libtorch "$ACCELERATOR"

# What runs, of all that the wheel has: shared libraries.
FROM libtorch AS libtorch-runtime
RUN mkdir -p /runtime/torch \
 && cp -a /opt/libtorch/torch/lib /runtime/torch/lib \
 && if [ -d /opt/libtorch/nvidia ]; then cp -a /opt/libtorch/nvidia /runtime/nvidia; fi \
 && find /runtime \( -name '*.a' -o -name '*.h' -o -name '*.py' -o -name 'libtorch_python.so' \) -delete

# Dependencies first, so that they are built again only when they change.
FROM rust:${RUST_IMAGE_TAG} AS toolchain
ARG CHEF=0.1.77
ARG CYCLONEDX=0.5.9
RUN cargo install -q --locked cargo-chef@${CHEF} cargo-cyclonedx@${CYCLONEDX} \
 && rm -rf "$CARGO_HOME/registry"
WORKDIR /trainyard

FROM toolchain AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM toolchain AS builder
# release, or dev for a build that is there sooner and runs slower.
ARG CARGO_PROFILE=release
COPY --from=libtorch /opt/libtorch /opt/libtorch
ENV LIBTORCH=/opt/libtorch/torch LIBTORCH_CXX11_ABI=1 CARGO_TARGET_DIR=/target
COPY --from=recipe /recipe.json /
RUN cargo chef cook --locked --profile "$CARGO_PROFILE" --workspace --bins --recipe-path /recipe.json
COPY . .
RUN cargo build -q --locked --profile "$CARGO_PROFILE" --workspace --bin dispatcher --bin worker --bin trainer \
 && mkdir -p /out/bin /out/sbom \
 && folder=/target/$([ "$CARGO_PROFILE" = dev ] && echo debug || echo "$CARGO_PROFILE") \
 && cp "$folder/dispatcher" "$folder/worker" "$folder/trainer" /out/bin/ \
 && strip --strip-debug /out/bin/*
# The software bill of materials (CycloneDX): every crate in the three binaries, with version, licence and checksum.
RUN cargo cyclonedx -q --format json --describe binaries --target x86_64-unknown-linux-gnu \
 && find . -name '*_bin.cdx.json' -exec mv -t /out/sbom {} +

# The project's tests, on the very code of the image: what `make projects.unit` and its like run.
FROM builder AS development
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends python3-venv libgomp1 \
 && rm -rf /var/lib/apt/lists/*
RUN scripts/setup.sh consumer
# Where `production` has them, and folders that give a volume its owner.
RUN mkdir -p /usr/local/lib/trainyard .trainyard .cache/huggingface \
 && cp scripts/component.sh scripts/lib.sh /usr/local/lib/trainyard/ \
 && chown -R 10001:10001 .trainyard .cache
ARG CARGO_PROFILE=release
RUN cargo test -q --locked --profile "$CARGO_PROFILE" --workspace --lib --test projects --test project_errors --no-run
# By name, which Python libraries ask for.
RUN useradd --uid 10001 --no-create-home --home-dir /trainyard trainyard
ENV PATH=/out/bin:$PATH
ARG IMAGE_TAG=local
ENV TRAINYARD_BUILD_TAG=${IMAGE_TAG} TRAINYARD_CARGO_PROFILE=${CARGO_PROFILE}
CMD ["scripts/component.sh", "unit"]

FROM debian:${BASE_IMAGE_TAG} AS production
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends ca-certificates libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /trainyard trainyard
COPY --from=libtorch-runtime /runtime /opt/libtorch
COPY deploy/docker/healthcheck.sh /usr/local/bin/healthcheck
COPY scripts/component.sh scripts/lib.sh /usr/local/lib/trainyard/
COPY --from=builder /out/sbom /usr/share/doc/trainyard/sbom
COPY --from=builder /out/bin /usr/local/bin
WORKDIR /trainyard
USER trainyard
# What a volume is mounted on gives it its owner.
RUN mkdir -p .trainyard .cache/huggingface
# Inside of the container's own network; what is published of it is for whoever runs the container to say.
ENV TRAINYARD_METRICS_ADDR=0.0.0.0:9464
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["healthcheck"]
STOPSIGNAL SIGTERM
ARG ACCELERATOR=cpu
ARG IMAGE_TAG=local
ARG REVISION=unknown
ARG SOURCE=unknown
ENV TRAINYARD_BUILD_TAG=${IMAGE_TAG} TRAINYARD_IMAGE_ACCELERATOR=${ACCELERATOR}
LABEL org.opencontainers.image.title="trainyard worker (${ACCELERATOR})" \
      org.opencontainers.image.version="${IMAGE_TAG}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
CMD ["sh", "-c", "exec worker run --accelerator \"$TRAINYARD_IMAGE_ACCELERATOR\""]
