# The image of the fleet's dispatcher: `dispatcher run`, or any other of its commands. It needs no libtorch.
#   docker build -f deploy/docker/dispatcher.Dockerfile .
ARG BASE_IMAGE_TAG=bookworm-slim
ARG RUST_IMAGE_TAG=1.95-bookworm

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
ARG CARGO_PROFILE=release
ENV CARGO_TARGET_DIR=/target
COPY --from=recipe /recipe.json /
RUN cargo chef cook --locked --profile "$CARGO_PROFILE" --package dispatcher --bin dispatcher --recipe-path /recipe.json
COPY . .
RUN cargo build -q --locked --profile "$CARGO_PROFILE" --package dispatcher --bin dispatcher \
 && mkdir -p /out/bin /out/sbom \
 && folder=/target/$([ "$CARGO_PROFILE" = dev ] && echo debug || echo "$CARGO_PROFILE") \
 && cp "$folder/dispatcher" /out/bin/ \
 && strip --strip-debug /out/bin/dispatcher
RUN cargo cyclonedx -q --format json --describe binaries --target x86_64-unknown-linux-gnu --manifest-path dispatcher/Cargo.toml \
 && mv dispatcher/*_bin.cdx.json /out/sbom/

FROM debian:${BASE_IMAGE_TAG} AS production
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /trainyard trainyard
COPY deploy/docker/healthcheck.sh /usr/local/bin/healthcheck
COPY --from=builder /out/sbom /usr/share/doc/trainyard/sbom
COPY --from=builder /out/bin /usr/local/bin
WORKDIR /trainyard
USER trainyard
ENV TRAINYARD_METRICS_ADDR=0.0.0.0:9464
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["healthcheck"]
STOPSIGNAL SIGTERM
ARG IMAGE_TAG=local
ARG REVISION=unknown
ARG SOURCE=unknown
ENV TRAINYARD_BUILD_TAG=${IMAGE_TAG}
LABEL org.opencontainers.image.title="trainyard dispatcher" \
      org.opencontainers.image.version="${IMAGE_TAG}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
CMD ["dispatcher", "run"]
