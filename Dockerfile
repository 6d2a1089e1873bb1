# Sluice as a FireLens container: one static binary, CA roots, the paths that task definitions name, and the few commands that their
# health checks and `command` lines are made of.
# Builds natively on amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 .

FROM rust:1.96-bookworm AS build

# Static, so that nothing of the build image is needed at run time; against glibc, since a record costs twice the CPU time with
# musl's memcpy and allocator. The target is named so that only the program is static, not what runs while it is compiled.
# The target folder is a cache between builds; what is needed of it is copied out in the same step.
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
    && cargo build --release --locked --bin sluice --target "$target" \
        --config 'target."cfg(target_env = \"gnu\")".rustflags = ["-C", "target-feature=+crt-static"]' \
    && install -D -m 0755 "target/$target/release/sluice" /image/fluent-bit/bin/fluent-bit

# Sluice itself needs nothing of this. Task definitions in use have health checks with `sh`, `nc` and `curl`, and an image without
# them would be called unhealthy and stopped. One static program is the shell and the rest; curl comes with its libraries.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends busybox-static curl \
    && install -D -m 0755 -t /image/bin /bin/busybox \
    && for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "/image/bin/$applet"; done \
    && cp --dereference --parents /usr/bin/curl $(ldd /usr/bin/curl | grep -o '/[^ ]*') /image

# The whole tree of the final image is laid out here, in one layer.
RUN mkdir -p /image/fluent-bit/log /image/usr/local/bin /image/var/log /image/var/run \
    && install -d -m 1777 /image/tmp \
    && ln -s /fluent-bit/bin/fluent-bit /image/usr/local/bin/sluice \
    && install -D -m 0644 config/fluent-bit.conf /image/fluent-bit/etc/fluent-bit.conf \
    && install -D -m 0644 -t /image/fluent-bit/etc config/parsers*.conf \
    && install -D -m 0644 -t /image/fluent-bit/parsers config/parsers*.conf \
    && install -D -m 0644 -t /image/fluent-bit/configs config/configs/*.conf \
    && install -D -m 0644 -t /image/fluent-bit/filters config/filters/*.lua \
    && install -D -m 0644 -t /image/ecs config/ecs/*.conf \
    && install -m 0755 config/entrypoint.sh /image/entrypoint.sh \
    && /image/fluent-bit/bin/fluent-bit --version >/image/AWS_FOR_FLUENT_BIT_VERSION \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image/ /
EXPOSE 2020 24224

# Amazon ECS looks at the health check of the task definition, not at this one; other engines use it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=2 CMD ["/fluent-bit/bin/fluent-bit", "--health"]

# No ENTRYPOINT, as in the AWS image: a task definition's `command` that begins with the binary's path works unchanged.
CMD ["/fluent-bit/bin/fluent-bit", "-c", "/fluent-bit/etc/fluent-bit.conf"]
