"""A Docker engine of the test's own: Debian's dockerd with its own folders, gone without a trace when the test ends."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import support

CGROUP = "sluice-system-test"


class Engine:
    """A running dockerd."""

    def __init__(self, address, log):
        self.address = address
        self.log = log

    def _run(self, *arguments):
        command = ["docker", "--host", self.address, *[str(part) for part in arguments]]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def docker(self, *arguments):
        """Runs the docker client and answers what it printed."""
        done = self._run(*arguments)
        if done.returncode:
            raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def last_line(self, container):
        """The last thing that a container wrote to its standard error."""
        return self._run("logs", "--tail", "1", container).stderr.strip()

    def inspect(self, container):
        """What the engine knows of a container."""
        return json.loads(self.docker("inspect", container))[0]

    def is_up(self):
        """Whether the engine answers."""
        return self._run("version").returncode == 0


def _control_groups():
    """The folders of this test's control group, the innermost first; one per controller in version 1."""
    hierarchies = [pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").iterdir()]
    for top in (hierarchy / CGROUP for hierarchy in hierarchies):
        if top.is_dir():
            yield from sorted((path for path in [top, *top.rglob("*")] if path.is_dir()), reverse=True)


def _end_containers():
    """Ends every process the engine started, whether or not the engine still works, and removes the control group."""
    for folder in _control_groups():
        for process in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
    time.sleep(0.2)
    for folder in _control_groups():
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _without_leftovers(*folders):
    """Removes folders that were not there before: dockerd and containerd make some that no option moves."""
    before = {folder for folder in folders if os.path.exists(folder)}
    try:
        yield
    finally:
        for folder in set(folders) - before:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(folder):
    """Runs dockerd below `folder`, without a network of its own, as it must where there is no outside network."""
    address = f"unix://{folder}/docker.sock"
    command = [
        "dockerd",
        "--host",
        address,
        "--data-root",
        folder / "data",
        "--exec-root",
        folder / "exec",
        "--pidfile",
        folder / "docker.pid",
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        "--storage-driver=vfs",
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        f"/{CGROUP}",
    ]
    log = folder / "dockerd.log"
    with _without_leftovers("/run/docker", "/run/containerd"):
        try:
            with support.process(command, log) as child:
                engine = Engine(address, log)

                def is_up():
                    if child.poll() is not None:
                        raise RuntimeError(log.read_text()[-2000:])
                    return engine.is_up()

                support.wait_until(is_up, 60, "dockerd to answer")
                yield engine
                remaining = engine.docker("ps", "--all", "--quiet").split()
                if remaining:
                    engine.docker("rm", "--force", *remaining)
        finally:
            _end_containers()
            support.unmount_below(folder)
