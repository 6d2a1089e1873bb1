"""The container image: built for real by buildah, looked through, and started from its own root without an engine.

The configuration is what the ECS agent generates for a task in bridge mode, with the sink's address in the outputs: a number in
one, in the other a name that only a name server knows, as it is in AWS.
"""

import json
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import time

import container_image
import sink
import support

BINARY = "fluent-bit/bin/fluent-bit"
CONFIG = "fluent-bit/etc/fluent-bit.conf"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
FILES = [
    BINARY,
    CONFIG,
    CA_BUNDLE,
    "usr/local/bin/sluice",
    "entrypoint.sh",
    "AWS_FOR_FLUENT_BIT_VERSION",
    "fluent-bit/etc/parsers.conf",
    "fluent-bit/parsers/parsers.conf",
    "fluent-bit/configs/parse-json.conf",
    "fluent-bit/filters/replace_dots.lua",
    "ecs/service.conf",
]
FOLDERS = ["fluent-bit/log", "var/run", "var/log", "tmp"]
# As task definitions have them behind CMD-SHELL; AWS's documentation names the first three.
HEALTH_CHECKS = [
    """echo '{"health": "check"}' | nc 127.0.0.1 8877 || exit 1""",
    "curl -f http://127.0.0.1:2020/api/v1/uptime || exit 1",
    "curl -f http://127.0.0.1:2020/api/v1/health || exit 1",
    "/fluent-bit/bin/fluent-bit --health",
]
# The `command` of AWS's own examples.
COMMAND = (
    "echo -n 'AWS for Fluent Bit Container Image Version ' && cat /AWS_FOR_FLUENT_BIT_VERSION && exec /fluent-bit/bin/fluent-bit "
    "-e /fluent-bit/firehose.so -e /fluent-bit/cloudwatch.so -e /fluent-bit/kinesis.so -c /fluent-bit/etc/fluent-bit.conf"
)
TASK = "0123456789abcdef0123456789abcdef"
METADATA = {
    "ec2_instance_id": "i-0abc1234567890def",
    "ecs_cluster": "prod",
    "ecs_task_arn": f"arn:aws:ecs:us-east-1:111122223333:task/prod/{TASK}",
    "ecs_task_definition": "shop:7",
}
RECORDS = 1_000
PT_INTERP = 3
TYPE_A = 1
NOBODY = 65534


def generated_config(port, ca_file):
    """The agent's file, with `config-file-value` set; only `endpoint` and `tls.ca_file` are added."""

    def destination(host):
        return f"endpoint https://{host}:{port}\n    tls.ca_file {ca_file}"

    metadata = "\n".join(f"    Record {key} {value}" for key, value in METADATA.items())
    return f"""
[INPUT]
    Name forward
    Mem_Buf_Limit 128MB
    unix_path /var/run/fluent.sock

[INPUT]
    Name forward
    Listen 0.0.0.0
    Port 24224

[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port 8877

@INCLUDE /fluent-bit/configs/output-metrics-healthcheck.conf

[FILTER]
    Name   grep
    Match web-firelens*
    Regex  log ^(ERROR|WARN)

[FILTER]
    Name   grep
    Match web-firelens*
    Exclude log /healthz

[FILTER]
    Name   grep
    Match worker-firelens*
    Exclude log DEBUG

[FILTER]
    Name record_modifier
    Match *
{metadata}

[OUTPUT]
    Name null
    Match firelens-healthcheck

[OUTPUT]
    Name cloudwatch_logs
    Match web-firelens*
    auto_create_group true
    {destination("127.0.0.1")}
    log_group_name /ecs/shop
    log_key log
    log_stream_prefix web/
    region us-east-1
    retry_limit 5

[OUTPUT]
    Name kinesis_firehose
    Match worker-firelens*
    delivery_stream shop-logs
    {destination("localhost")}
    region us-east-1
"""


def is_static(binary):
    """Whether an ELF file names no dynamic loader."""
    content = binary.read_bytes()
    first, size, count = *struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54)
    kinds = [struct.unpack_from("<I", content, first + size * index)[0] for index in range(count)]
    return content[:4] == b"\x7fELF" and PT_INTERP not in kinds


def copy_root(root):
    """Copies the image's files out, and answers the image's own description."""
    with (
        container_image.working_container(container_image.IMAGE) as container,
        container_image.mounted(container) as mounted,
    ):
        shutil.copytree(mounted, root, symlinks=True)
    return json.loads(container_image.buildah("inspect", "--type", "image", container_image.IMAGE))["Docker"]["config"]


# Checklist: firelens 21, 25
def check_contents(checks, root, described):
    """Checks what the image holds and says about itself."""
    missing = [path for path in FILES if not (root / path).is_symlink() and not (root / path).is_file()]
    missing += [path for path in FOLDERS if not (root / path).is_dir()]
    checks.check("the paths that users depend on are there", not missing, missing)
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    checks.check(
        "the binary needs no library",
        is_static(root / BINARY),
        f"{(root / BINARY).stat().st_size / 1e6:.1f} MB of {size / 1e6:.1f} MB",
    )
    roots = (root / CA_BUNDLE).read_text().count("BEGIN CERTIFICATE")
    checks.check("CA roots are there", roots > 100, f"{roots} certificates")
    checks.check("/tmp is for everyone", (root / "tmp").stat().st_mode & 0o7777 == 0o1777)
    checks.check(
        "CMD starts the binary, and there is no ENTRYPOINT",
        described["Cmd"][0] == f"/{BINARY}" and not described.get("Entrypoint"),
        described["Cmd"],
    )
    checks.check(
        "the ports are exposed",
        set(described["ExposedPorts"]) == {"2020/tcp", "24224/tcp"},
        sorted(described["ExposedPorts"]),
    )
    checks.check(
        "the health check needs no shell",
        described["Healthcheck"]["Test"] == ["CMD", f"/{BINARY}", "--health"],
        described["Healthcheck"]["Test"],
    )


def contained(root, *arguments, user=0):
    """A command line that runs a program as an engine does: the image's root is its root, and it is process 1."""
    identity = [f"--setuid={user}", f"--setgid={user}"]
    return ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", *identity, f"--root={root}", *arguments]


def run(command):
    """Runs a program to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


def answer_names(server):
    """Says of every name it is asked for that it is 127.0.0.1 and has no address of version 6, until the socket is closed."""
    while True:
        try:
            query, client = server.recvfrom(512)
        except OSError:
            return
        end = query.index(0, 12) + 5
        (kind,) = struct.unpack_from("!H", query, end - 4)
        answer = struct.pack("!HHHIH4B", 0xC00C, TYPE_A, 1, 60, 4, 127, 0, 0, 1) if kind == TYPE_A else b""
        counts = struct.pack("!HHHHH", 0x8180, 1, bool(answer), 0, 0)
        server.sendto(query[:2] + counts + query[12:end] + answer, client)


def serve_names(root):
    """Starts a name server, and tells the image of it as an engine does."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=answer_names, args=(server,), daemon=True).start()
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    return server


def process_one(router):
    """The process that is number 1 in the router's container."""
    children = pathlib.Path(f"/proc/{router.child.pid}/task/{router.child.pid}/children")
    return int(support.wait_until(children.read_text, 5, "the container's first process"))


def check_health(checks, router):
    """Runs each health check where an engine would run it: in the router's container."""
    here = ["nsenter", f"--target={router.pid}", "--pid", "--mount", "--root", "--wd=/"]
    for command in HEALTH_CHECKS:
        healthy = run([*here, "/bin/sh", "-c", command])
        name = f"the health check says yes while it runs: {command.split(maxsplit=1)[0]}"
        checks.check(name, healthy.returncode == 0, f"status {healthy.returncode} {healthy.stderr.strip()}")


def send_logs(root):
    """Sends both containers' logs, one over the unix socket and one over TCP, and the health check's line."""
    start = time.time_ns() - 60_000_000_000
    levels = ["ERROR", "WARN", "INFO"]
    with socket.socket(socket.AF_UNIX) as web, socket.create_connection(("127.0.0.1", 24224)) as worker:
        web.connect(str(root / "var/run/fluent.sock"))
        for number in range(RECORDS):
            path = "/healthz" if number % 5 == 0 else "/"
            record = {"container_name": "/web", "source": "stdout", "log": f"{levels[number % 3]} {number} GET {path}"}
            support.send(web, f"web-firelens-{TASK}", start + number * 1_000_000, record)
            level = "DEBUG" if number % 2 else "done"
            record = {"container_name": "/worker", "source": "stderr", "log": f"{level} {number}"}
            support.send(worker, f"worker-firelens-{TASK}", start + number * 1_000_000, record)
    with socket.create_connection(("127.0.0.1", 8877)) as check:
        check.sendall(b'{"health": "check"}\n')


def check_delivery(checks, receiver):
    """Checks that the filters and outputs of the generated file did what it says."""
    arrived = [message for _, message in receiver.log_events("/ecs/shop", f"web/web-firelens-{TASK}")]
    expected = [
        f"{('ERROR', 'WARN')[number % 3]} {number} GET /" for number in range(RECORDS) if number % 3 < 2 and number % 5
    ]
    checks.check(
        "CloudWatch has the web container's errors and warnings",
        arrived == expected,
        f"{len(arrived)} of {len(expected)}",
    )
    arrived = [json.loads(data) for data in receiver.records("shop-logs")]
    expected = [
        {"container_name": "/worker", "source": "stderr", "log": f"done {number}", **METADATA}
        for number in range(0, RECORDS, 2)
    ]
    checks.check(
        "Firehose has the worker's records with the task's metadata",
        arrived == expected,
        f"{len(arrived)} of {len(expected)}",
    )


# Checklist: firelens 1, 7, 22, 24
def check_firelens(checks, root, folder, command):
    """Starts the image's command on the generated configuration, as ECS does, and follows records to the sink."""
    with sink.running(folder, "--delivery-stream", "shop-logs") as receiver, serve_names(root):
        shutil.copy(receiver.ca_file, root / "tmp" / "sink.pem")
        config = generated_config(receiver.port, "/tmp/sink.pem")
        (root / CONFIG).write_text(config)
        with support.router(folder, config, contained(root, *command)) as router:
            router.pid = process_one(router)
            took = router.wait_until_listening(root / "var/run/fluent.sock")
            print(f"     it listens {took * 1000:.0f} ms after the start, unshare and polling included")
            send_logs(root)
            check_health(checks, router)
            status, took = router.stop(within=30)
            checks.check("SIGTERM ends it with status 0", status == 0, f"status {status} after {took:.1f} s")
            print(f"     {router.last_line()}")
        check_delivery(checks, receiver)
    unhealthy = run(contained(root, f"/{BINARY}", "--health", "2"))
    checks.check(
        "the health check says no when nothing runs",
        unhealthy.returncode != 0,
        f"status {unhealthy.returncode} {unhealthy.stderr.strip()}",
    )


# Checklist: firelens 23, 27
def check_starts(checks, root, folder, default, commands):
    """Starts the image as `docker run` would, outside FireLens and as a user without rights, with commands that are in use."""
    (root / CONFIG).write_text(default)
    for command in commands:
        with support.router(folder, default, contained(root, *command, user=NOBODY)) as router:
            router.pid = process_one(router)
            took = router.wait_until_listening(24224)
            status, _ = router.stop(within=10)
        name = f"it listens on 24224 as another user, and stops, begun with {' '.join(command)[:40]}"
        checks.check(name, status == 0, f"listens after {took * 1000:.0f} ms, status {status}")


def test(checks):
    began = time.monotonic()
    with support.scratch_folder("image") as folder, container_image.storage():
        container_image.build()
        checks.check("buildah builds the Dockerfile", True, f"{time.monotonic() - began:.0f} s")
        root = folder / "root"
        described = copy_root(root)
        check_contents(checks, root, described)
        default = (root / CONFIG).read_text()
        (root / "proc").mkdir()  # an engine makes it too
        version = run(contained(root, f"/{BINARY}", "--version"))
        checks.check(
            "the binary answers as Sluice",
            version.returncode == 0 and "sluice" in version.stdout.lower(),
            version.stdout.strip(),
        )
        support.enter_private_network()
        check_firelens(checks, root, folder, described["Cmd"])
        commands = [described["Cmd"], ["/entrypoint.sh"], ["/bin/sh", "-c", COMMAND]]
        check_starts(checks, root, folder, default, commands)


if __name__ == "__main__":
    support.run_test(test)
