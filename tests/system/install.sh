#!/bin/sh
# Installs by name what the system tests need on Debian 12, and does nothing when it is already there.
# Debian packages go to the system; everything else goes below target/system/. Run as root, from anywhere.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$here/../.." && pwd)/target/system
mkdir -p "$work"

debian_packages="buildah ca-certificates chromium chromium-driver debootstrap docker.io gcc golang-go
    golang-github-fluent-fluent-logger-golang-dev libc6-dev nodejs npm python3-venv runc"

is_installed() {
    dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'
}

# Node and npm often come from elsewhere than Debian; a second copy would only be in the way.
is_on_path() {
    case $1 in
    nodejs) command -v node >/dev/null ;;
    npm) command -v npm >/dev/null ;;
    *) return 1 ;;
    esac
}

missing=
for package in $debian_packages; do
    is_installed "$package" || is_on_path "$package" || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    # Runlevel 1 keeps a package from starting its service: the tests start their own dockerd.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing
fi

# A stamp holds the requirements it was made from, so a changed list installs again.
is_fresh() {
    cmp -s "$1" "$2"
}

if ! is_fresh "$here/requirements.txt" "$work/venv/requirements.stamp"; then
    python3 -m venv --clear "$work/venv"
    "$work/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$work/venv/requirements.stamp"
fi

if ! is_fresh "$here/clients/node/package.json" "$work/node/requirements.stamp"; then
    rm -rf "$work/node"
    mkdir -p "$work/node"
    cp "$here/clients/node/package.json" "$work/node/"
    npm install --prefix "$work/node" --no-audit --no-fund --loglevel=error
    cp "$here/clients/node/package.json" "$work/node/requirements.stamp"
fi
echo "installed: $work"
