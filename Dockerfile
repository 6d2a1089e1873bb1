# Sluice as a FireLens container: one static binary, CA roots, and the paths that task definitions name.
# Builds natively on amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 .

FROM rust:1.96-bookworm AS build

# Static means musl: nothing of the build image is needed at run time. Both are skipped where the image has them.
RUN command -v musl-gcc >/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends musl-tools && rm -rf /var/lib/apt/lists/*)
RUN test -d "$(rustc --print target-libdir --target "$(uname -m)-unknown-linux-musl")" \
    || rustup target add "$(uname -m)-unknown-linux-musl"

# The target folder is a cache between builds; what is needed of it is copied out in the same step.
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin sluice --target "$(uname -m)-unknown-linux-musl" \
    && install -D -m 0755 "target/$(uname -m)-unknown-linux-musl/release/sluice" /image/fluent-bit/bin/fluent-bit

# The final image has no shell to make folders with, so its whole tree is laid out here.
RUN mkdir -p /image/fluent-bit/log /image/usr/local/bin /image/var/log /image/var/run \
    && install -d -m 1777 /image/tmp \
    && ln -s /fluent-bit/bin/fluent-bit /image/usr/local/bin/sluice \
    && install -D -m 0644 config/fluent-bit.conf /image/fluent-bit/etc/fluent-bit.conf \
    && install -D -m 0644 -t /image/fluent-bit/etc config/parsers*.conf \
    && install -D -m 0644 -t /image/fluent-bit/parsers config/parsers*.conf \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image/ /
EXPOSE 2020 24224

# Amazon ECS looks at the health check of the task definition, not at this one; other engines use it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=2 CMD ["/fluent-bit/bin/fluent-bit", "--health"]

# No ENTRYPOINT, as in the AWS image: a task definition's `command` that begins with the binary's path works unchanged.
CMD ["/fluent-bit/bin/fluent-bit", "-c", "/fluent-bit/etc/fluent-bit.conf"]
