"""What the system tests share: the router as a process, moto beside it, and the counting of checks.

The router under test is `target/release/sluice`; `SLUICE_BIN` names another one.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

# isort: split
from installed import HERE, ROOT, WORK  # comes before what it installs

# isort: split
import boto3

import msgpack

__all__ = ["HERE", "ROOT", "WORK"]

# From the kernel's headers; Python knows their names only in later versions.
CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "system-test", "AWS_SECRET_ACCESS_KEY": "system-test-secret", "AWS_REGION": REGION}


class Checks:
    """Counts what held and what did not, and prints each with what was measured."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.began = time.monotonic()

    def check(self, name, holds, measured=""):
        """Counts one check; a failing one does not end the test, so that one run shows everything."""
        if holds:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok  ' if holds else 'FAIL'} {name}{f': {measured}' if measured != '' else ''}", flush=True)
        return holds

    def finish(self):
        """Prints the closing line and answers the exit status."""
        print(f"took {time.monotonic() - self.began:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def run_test(test):
    """Runs `test(checks)`, turns an exception into a failed check, and exits with the right status.

    A signal becomes an exception, so that every `with` block cleans up behind itself in that case too.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    checks = Checks()
    try:
        test(checks)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        traceback.print_exc()
        checks.check("the test ran to its end", False, repr(error))
    sys.exit(checks.finish())


def wait_until(condition, seconds, what):
    """Polls `condition` until it answers something true, and returns that; raises after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def free_port():
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts_tcp(port):
    """Whether something accepts connections on this local port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def accepts_unix(path):
    """Whether something accepts connections on this unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def enter_private_network():
    """Moves this process and all it starts from now on into a network of their own, where every port is free."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


@contextlib.contextmanager
def scratch_folder(name):
    """A new empty folder below target/system/run, removed when the test is done with it."""
    parent = WORK / "run"
    parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def process(command, log, env=None, stop_within=30):
    """Runs `command` with its output in the file `log`; whatever happens, it is gone when the block is left."""
    with open(log, "wb") as sink:
        child = subprocess.Popen(
            [str(part) for part in command], stdout=sink, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(stop_within)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def router_binary():
    """The router under test."""
    binary = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "target" / "release" / "sluice"))
    if not binary.is_file():
        sys.exit(f"{binary} is missing: build it with `cargo build --release`, or name another one in SLUICE_BIN")
    return binary


def bench_binary():
    """The bench tool, whose `sink` stands for the AWS services and checks signatures, limits and TLS."""
    binary = pathlib.Path(os.environ.get("SLUICE_BENCH_BIN", ROOT / "target" / "release" / "sluice-bench"))
    if not binary.is_file():
        sys.exit(f"{binary} is missing: build it with `cargo build --release`, or name another one in SLUICE_BENCH_BIN")
    return binary


def unmount_below(folder):
    """Unmounts everything below a folder, the last mounted first."""
    mounts = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", mount], check=False)


class Router:
    """A running router: its process, its log, and the exit it made."""

    def __init__(self, child, log):
        self.child = child
        self.log = log
        self.pid = child.pid
        self.began = time.monotonic()

    def output(self):
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def last_line(self):
        """The last thing it printed: after a stop, the account of every record."""
        lines = self.output().strip().splitlines()
        return lines[-1] if lines else ""

    def wait_until_listening(self, address, within=10):
        """Waits until it accepts on this unix path or TCP port, and answers the seconds since it was started."""
        accepts = accepts_tcp if isinstance(address, int) else accepts_unix
        while not accepts(address):
            if self.child.poll() is not None:
                raise RuntimeError(f"the router ended with status {self.child.returncode}")
            if time.monotonic() - self.began > within:
                raise TimeoutError(f"the router does not listen on {address}")
            time.sleep(0.002)
        return time.monotonic() - self.began

    def stop(self, within):
        """Sends SIGTERM and answers (exit status, seconds it took)."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        status = self.child.wait(within)
        return status, time.monotonic() - began


@contextlib.contextmanager
def router(folder, config, command=None, env=None):
    """Runs the router with this classic configuration; `command` starts it in another way than as a plain process."""
    config_file = folder / "fluent-bit.conf"
    config_file.write_text(config)
    log = folder / "router.log"
    with process(command or [router_binary(), "-c", config_file], log, {**CREDENTIALS, **(env or {})}) as child:
        running = Router(child, log)
        try:
            yield running
        except BaseException:
            print(f"--- the router's last lines\n{running.output()[-4000:]}\n---", flush=True)
            raise


class Moto:
    """moto's server: CloudWatch Logs, Firehose and S3 in one process, read back with boto3."""

    def __init__(self, port):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"

        self.clients = {}

    def client(self, service):
        """A boto3 client of this server."""
        if service not in self.clients:
            self.clients[service] = self._connect(service)
        return self.clients[service]

    def _connect(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def create_delivery_stream(self, name, bucket):
        """Makes a Firehose stream that writes to a new bucket."""
        self.client("s3").create_bucket(Bucket=bucket)
        destination = {"RoleARN": "arn:aws:iam::123456789012:role/delivery", "BucketARN": f"arn:aws:s3:::{bucket}"}
        self.client("firehose").create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination
        )

    def log_events(self, group, stream):
        """All events of a log stream, oldest first, as (timestamp in milliseconds, message); none without a stream."""
        logs, events, token = self.client("logs"), [], {}
        try:
            while True:
                page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
                if not page["events"]:
                    return events
                events += [(event["timestamp"], event["message"]) for event in page["events"]]
                token = {"nextToken": page["nextForwardToken"]}
        except logs.exceptions.ResourceNotFoundException:
            return events

    def bucket_lines(self, bucket):
        """The lines of all objects of a bucket."""
        lines = []
        for page in self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", []):
                body = self.client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                lines += body.decode().split("\n")
        return [line for line in lines if line]


@contextlib.contextmanager
def moto(folder):
    """Runs a moto server of its own, so that tests never see each other's streams."""
    port = free_port()
    command = [WORK / "venv" / "bin" / "moto_server", "-H", "127.0.0.1", "-p", port]
    with process(command, folder / "moto.log") as child:
        server = Moto(port)

        def is_up():
            if child.poll() is not None:
                raise RuntimeError((folder / "moto.log").read_text())
            return accepts_tcp(port)

        wait_until(is_up, 60, "moto to listen")
        yield server


def send(connection, tag, when, record):
    """Sends one record as Docker's driver does: a message with a time of nanoseconds."""
    seconds, nanoseconds = divmod(when, 1_000_000_000)
    event_time = msgpack.ExtType(0, struct.pack(">II", seconds, nanoseconds))
    connection.sendall(msgpack.packb([tag, event_time, record, {}]))
