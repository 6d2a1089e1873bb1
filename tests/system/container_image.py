"""Builds the image of the project's Dockerfile with buildah, without a network and without a container engine.

A base image is made under the name the Dockerfile uses: debootstrap and Debian's own Rust packages (stand_in_rust.sh).
The crates come from a folder that `cargo vendor` fills from the lock file.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import support

IMAGE = "localhost/sluice:system-test"
STORAGE = support.WORK / "containers"
# Where buildah keeps, among others, the cache that the Dockerfile mounts over /src/target.
TEMPORARY = STORAGE / "tmp"
VENDOR = support.WORK / "vendor"
STAND_IN = "stand_in_rust.sh"


def buildah(*arguments, output=None):
    """Runs buildah on the tests' own storage; answers what it printed, or writes all of it to the file `output`."""
    state = ["--root", STORAGE / "storage", "--runroot", STORAGE / "run"]
    command = [str(part) for part in ["buildah", *state, *arguments]]
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "TMPDIR": str(TEMPORARY)}
    if output:
        return subprocess.run(command, check=True, env=env, stdout=output, stderr=subprocess.STDOUT)
    return subprocess.run(command, check=True, env=env, text=True, stdout=subprocess.PIPE).stdout.strip()


@contextlib.contextmanager
def storage():
    """The time in which a test works with images: afterwards no working container, stale layer or mount is left."""
    try:
        yield
    finally:
        buildah("rm", "--all")
        buildah("rmi", "--prune")
        support.unmount_below(STORAGE)


def base_name():
    """The image that the Dockerfile's build stage begins with."""
    return re.search(r"^FROM (\S+) AS build$", (support.ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]


def debian_mirror():
    """The mirror this machine installs Debian 12 from."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: bookworm"]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0]


@contextlib.contextmanager
def mounted(container):
    """The root folder of a working container."""
    try:
        yield pathlib.Path(buildah("mount", container))
    finally:
        buildah("umount", container)


@contextlib.contextmanager
def working_container(image):
    """A working container of an image, removed at the end."""
    name = buildah("from", "--pull-never", image)
    try:
        yield name
    finally:
        buildah("rm", name)


def provision(root):
    """Makes an empty folder the root of a Debian with Rust in it; apt is set up as on this machine."""
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root, debian_mirror()], check=True)
    sources = root / "etc" / "apt" / "sources.list.d"
    shutil.rmtree(sources)
    (root / "etc" / "apt" / "sources.list").unlink()
    shutil.copytree("/etc/apt/sources.list.d", sources)
    if os.path.exists("/etc/apt/sources.list"):
        shutil.copy("/etc/apt/sources.list", root / "etc" / "apt")
    shutil.copy("/etc/resolv.conf", root / "etc")
    script = root / STAND_IN
    shutil.copy(support.HERE / STAND_IN, script)
    subprocess.run(["mount", "--bind", "/proc", root / "proc"], check=True)
    try:
        subprocess.run(["chroot", root, f"/{STAND_IN}"], check=True)
    finally:
        subprocess.run(["umount", root / "proc"], check=True)
        script.unlink()


def ensure_base():
    """Makes the base image unless it is there already, as the script of today makes it."""
    name = "localhost/" + base_name()
    label = "script=" + hashlib.sha256((support.HERE / STAND_IN).read_bytes()).hexdigest()
    if buildah("images", "--quiet", "--filter", f"reference={name}", "--filter", f"label={label}"):
        return
    # What was compiled with the standard library of an earlier base is of no use with this one.
    shutil.rmtree(TEMPORARY, ignore_errors=True)
    with working_container("scratch") as container:
        with mounted(container) as root:
            provision(root)
        buildah("config", "--label", label, "--env", "CARGO_HOME=/usr/local/cargo", "--env", "CARGO_NET_OFFLINE=true", container)
        buildah("commit", "--quiet", container, name)


def ensure_vendored():
    """Fills the folder of crates from the lock file unless it was filled from this one."""
    stamp = VENDOR / "Cargo.lock.stamp"
    lock = support.ROOT / "Cargo.lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    command = ["cargo", "vendor", "--quiet", "--locked", "--versioned-dirs", str(VENDOR)]
    subprocess.run(command, check=True, cwd=support.ROOT, stdout=subprocess.DEVNULL)
    shutil.copy(lock, stamp)


def build():
    """Builds the image. Docker's format, because the other one knows no health check."""
    ensure_base()
    ensure_vendored()
    command = [
        *("build", "--isolation", "chroot", "--pull-never", "--layers", "--format", "docker"),
        *("--volume", f"{VENDOR}:/usr/local/cargo/vendor:ro", "--tag", IMAGE, support.ROOT),
    ]
    log = support.WORK / "image-build.log"
    try:
        with open(log, "wb") as output:
            buildah(*command, output=output)
    except subprocess.CalledProcessError:
        print(log.read_text(errors="replace")[-4000:], flush=True)
        raise
