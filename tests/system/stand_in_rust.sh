#!/bin/sh
# Runs inside a bare Debian 12 root and makes it stand in for the Rust image that the Dockerfile begins with, out of Debian
# packages alone: cargo, rustc, and a C compiler with the C library's static half. What the Dockerfile installs is there already,
# since its build has no network.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get update -q
apt-get install -q -y --no-install-recommends busybox-static ca-certificates cargo-web curl gcc libc6-dev
apt-get clean
rm -rf /var/lib/apt/lists/*

# The build has no network: cargo takes the crates from the folder that the test mounts.
mkdir -p /usr/local/cargo/vendor
cat >/usr/local/cargo/config.toml <<'END'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/local/cargo/vendor"
END
