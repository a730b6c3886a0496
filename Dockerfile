# Fanfare's images: one target per binary, all out of one compile.
#
#   docker build --target gateway -t fanfare/gateway .
#   docker build --target chat-service -t fanfare/chat-service .
#   docker build --target notify-service -t fanfare/notify-service .
#   docker build --target fanfare -t fanfare/fanfare .        (all three in one process)
#   docker run --rm -p 127.0.0.1:8000:8000 fanfare/fanfare    and http://localhost:8000 in two tabs
#
# PROFILE=dev compiles in half the time, for checks of the images themselves; its binaries are slow.

# ---------------------------------------------------------------- the page
FROM node:20-bookworm AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,id=fanfare-npm,target=/root/.npm npm ci --no-audit --no-fund
COPY web/ ./
RUN npm run build

# ---------------------------------------------------------------- the binaries
# The image's own toolchain is used: rust-toolchain.toml names the same version, and is not copied,
# so that nothing is downloaded for the sake of rustfmt.
FROM rust:1.95-bookworm AS build
ARG PROFILE=release
WORKDIR /src
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
COPY Cargo.toml Cargo.lock ./
COPY crates/ crates/
COPY proto/ proto/
COPY chat-service/ chat-service/
COPY notify-service/ notify-service/
COPY gateway/ gateway/
COPY fanfare/ fanfare/
COPY bench/ bench/
COPY e2e/ e2e/
RUN --mount=type=cache,id=fanfare-cargo-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=fanfare-target,target=/src/target,sharing=locked \
    cargo build --locked --profile "$PROFILE" \
        -p gateway -p chat-service -p notify-service -p fanfare --bins \
 && mkdir /out \
 && cd "target/$(if [ "$PROFILE" = dev ]; then echo debug; else echo "$PROFILE"; fi)" \
 && cp gateway chat-service notify-service fanfare /out/ \
 && strip --strip-debug /out/*

# ---------------------------------------------------------------- what every image is built on
FROM debian:bookworm-slim AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 65532 fanfare \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fanfare
LABEL org.opencontainers.image.licenses="Apache-2.0"
# Nothing is written but to standard output: every one of these runs with a read-only root.
USER 65532:65532

FROM runtime AS chat-service
LABEL org.opencontainers.image.title="chat-service" org.opencontainers.image.description="Fanfare: rooms and messages"
COPY --from=build /out/chat-service /usr/local/bin/chat-service
EXPOSE 9101 9201
ENTRYPOINT ["chat-service"]

FROM runtime AS notify-service
LABEL org.opencontainers.image.title="notify-service" org.opencontainers.image.description="Fanfare: notifications and inboxes"
COPY --from=build /out/notify-service /usr/local/bin/notify-service
EXPOSE 9102 9202
ENTRYPOINT ["notify-service"]

FROM runtime AS gateway
LABEL org.opencontainers.image.title="gateway" org.opencontainers.image.description="Fanfare: the stateless real-time gateway"
COPY --from=web /src/web/dist/ /usr/share/fanfare/web/
COPY --from=build /out/gateway /usr/local/bin/gateway
ENV FANFARE_WEB_DIR=/usr/share/fanfare/web
EXPOSE 8000 9000
ENTRYPOINT ["gateway"]

# The last target is the one that a build without --target makes.
FROM runtime AS fanfare
LABEL org.opencontainers.image.title="fanfare" org.opencontainers.image.description="Fanfare: gateway and services in one process"
USER root
RUN install -d -o 65532 -g 65532 /var/lib/fanfare
USER 65532:65532
COPY --from=web /src/web/dist/ /usr/share/fanfare/web/
COPY --from=build /out/fanfare /usr/local/bin/fanfare
# In development mode it listens to its own machine only, which in here nobody reaches: what `docker run -p`
# publishes decides. `-p 127.0.0.1:8000:8000` is for development.
ENV FANFARE_WEB_DIR=/usr/share/fanfare/web FANFARE_HTTP_SERVER_ADDRESS=0.0.0.0
WORKDIR /var/lib/fanfare
VOLUME /var/lib/fanfare
EXPOSE 8000
ENTRYPOINT ["fanfare"]
