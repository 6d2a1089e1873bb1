"""A real Docker engine in front of the router, as on an ECS container instance.

First the router runs as a process, and 100 containers print 1 000 lines each through the `fluentd` log driver with the
options the ECS agent sets, every second one exiting as soon as it has printed. Then the engine runs the project's own
image with the generated configuration mounted over `/fluent-bit/etc/fluent-bit.conf` and the socket's folder over
`/var/run`, and more containers print through that.

Docker's driver throws away what it still has queued when a container exits. So of a container that stays a little every
line must arrive; of one that exits at once an unbroken beginning; and in the second part, where a witness stands
between driver and router, exactly what the driver wrote. All in order, once, whole, at CloudWatch (moto).
"""

import concurrent.futures
import json
import secrets
import subprocess

import container_image
import docker_engine
import support
import witness

CONTAINERS = 100
CONTAINERS_THROUGH_IMAGE = 20
LINES = 1_000
AT_ONCE = 4
SECONDS_TO_STAY = 2
GROUP = "/ecs/shop"
CLUSTER = "prod"
LONG_LINE = "".join(chr(ord("a") + byte % 26) for byte in range(40_000))
ROUTER_MEMORY = "128m"


def generated_config(socket_path, endpoint):
    """What the ECS agent generates for a task in host network mode, with the endpoint of the test added."""
    return f"""
[INPUT]
    Name forward
    Mem_Buf_Limit 64MB
    unix_path {socket_path}

[FILTER]
    Name record_modifier
    Match *
    Record ec2_instance_id i-0abc1234567890def
    Record ecs_cluster {CLUSTER}
    Record ecs_task_arn arn:aws:ecs:us-east-1:111122223333:task/prod/0123456789abcdef0123456789abcdef
    Record ecs_task_definition shop:7

[OUTPUT]
    Name cloudwatch_logs
    Match app-firelens*
    auto_create_group true
    endpoint {endpoint}
    log_group_name {GROUP}
    log_stream_prefix app/
    region {support.REGION}
"""


def expected_lines(tag):
    """The texts a container prints, as CloudWatch shows them: what is not UTF-8 becomes U+FFFD."""
    special = {100: "", 200: "\ufffd\ufffd cut: \ufffd", 300: f"{tag} line 300{LONG_LINE}"}
    return [special.get(line, f"{tag} line {line}") for line in range(LINES)]


def import_application(engine, folder):
    """Makes an image of nothing but a static program."""
    program = folder / "lines"
    subprocess.run(["gcc", "-O2", "-static", "-o", program, support.HERE / "clients" / "lines.c"], check=True)
    subprocess.run(["tar", "--create", "--file", folder / "lines.tar", "--directory", folder, "lines"], check=True)
    engine.docker("import", folder / "lines.tar", "lines:1")


def run_applications(engine, socket_path, count):
    """Runs so many containers to their end, every second one exiting at once; answers the tags, and who stayed."""

    def run(index):
        tag, stays = f"app-firelens-{secrets.token_hex(16)}", index % 2 == 1
        options = [
            "--log-driver",
            "fluentd",
            "--log-opt",
            f"fluentd-address=unix://{socket_path}",
            "--log-opt",
            "fluentd-async=true",
            "--log-opt",
            "fluentd-sub-second-precision=true",
            "--log-opt",
            f"tag={tag}",
        ]
        program = ["/lines", tag, LINES, SECONDS_TO_STAY if stays else 0]
        container = engine.docker("run", "--detach", "--network", "host", *options, "lines:1", *program)
        status = engine.docker("wait", container)
        engine.docker("rm", container)
        if status != "0":
            raise RuntimeError(f"an application ended with status {status}")
        return tag, stays

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(pool.map(run, range(count)))


def joined_lines(records):
    """The texts of records; the pieces of a line that Docker split are put together again."""
    lines, joining = [], False
    for record in records:
        if joining:
            lines[-1] += record["log"]
        else:
            lines.append(record["log"])
        joining = record.get("partial_last") == "false"
    return lines


def arrived_records(moto, tags):
    """What CloudWatch holds, by tag."""
    return {tag: [json.loads(message) for _, message in moto.log_events(GROUP, f"app/{tag}")] for tag in tags}


def is_beginning(lines, expected):
    """Whether these are the first of the expected lines; the last may be cut, as Docker sends a long line in pieces."""
    count = len(lines)
    return not lines or (lines[:-1] == expected[: count - 1] and expected[count - 1].startswith(lines[-1]))


def check_lines(checks, arrived, applications, through):
    """Checks every line of the containers that stayed, and an unbroken beginning of the others."""
    lines = {tag: joined_lines(records) for tag, records in arrived.items()}
    stayed = {tag for tag, stays in applications.items() if stays}
    wrong = [tag for tag in stayed if lines[tag] != expected_lines(tag)]
    count = sum(len(lines[tag]) for tag in stayed)
    checks.check(
        f"every line of {len(stayed)} containers that stayed arrives through {through}",
        not wrong,
        f"{count} lines, {len(wrong)} containers differ",
    )
    gone = set(applications) - stayed
    wrong = [tag for tag in gone if not is_beginning(lines[tag], expected_lines(tag))]
    count = sum(len(lines[tag]) for tag in gone)
    measured = f"{count} lines, {len(gone) * LINES - count} thrown away by the driver, {len(wrong)} containers differ"
    checks.check(
        f"an unbroken beginning of {len(gone)} containers that exit at once arrives through {through}",
        not wrong,
        measured,
    )


def check_witnessed(checks, arrived, written):
    """Checks that exactly what the driver wrote arrives."""
    added = {"ec2_instance_id", "ecs_cluster", "ecs_task_arn", "ecs_task_definition"}
    differ = []
    for tag, records in arrived.items():
        bare = [{key: value for key, value in record.items() if key not in added} for record in records]
        if bare != written[tag]:
            differ.append(f"{tag}: {len(bare)} of {len(written[tag])}")
    count = sum(len(records) for records in written.values())
    checks.check(
        "exactly what the driver wrote arrives through the image",
        not differ,
        f"{count} messages" + "".join(f"; {text}" for text in differ[:5]),
    )


def check_record(checks, record):
    """Checks the fields of one record: what the driver sent, and what the record_modifier added."""
    fields = {
        "container_id",
        "container_name",
        "source",
        "log",
        "ec2_instance_id",
        "ecs_cluster",
        "ecs_task_arn",
        "ecs_task_definition",
    }
    checks.check(
        "a record has the driver's fields and the task's",
        set(record) == fields and record["ecs_cluster"] == CLUSTER,
        sorted(record),
    )


def test_process(checks, engine, folder, moto):
    """Part one: the router as a process of this machine."""
    socket_path = folder / "fluent.sock"
    with support.router(folder, generated_config(socket_path, moto.endpoint)) as router:
        router.wait_until_listening(socket_path)
        applications = run_applications(engine, socket_path, CONTAINERS)
        status, took = router.stop(within=60)
        checks.check("the router drained and exited 0", status == 0, f"status {status} after {took:.1f} s")
        print(f"     {router.last_line()}")
    arrived = arrived_records(moto, applications)
    check_lines(checks, arrived, applications, "the process")
    check_record(checks, next(records[0] for records in arrived.values() if records))
    full = engine.log.read_text().count("Buffer full")
    checks.check("the driver's queue never ran full", full == 0, f"{full} complaints")


def start_router_container(engine, config, sockets):
    """Starts the image as the ECS agent does."""
    variables = [part for name, value in support.CREDENTIALS.items() for part in ("--env", f"{name}={value}")]
    mounts = ["--volume", f"{config}:/fluent-bit/etc/fluent-bit.conf", "--volume", f"{sockets}:/var/run"]
    options = ["--detach", "--network", "host", "--memory", ROUTER_MEMORY, *variables, *mounts]
    return engine.docker("run", *options, "sluice:system-test")


def health(engine, container):
    """What the image's own health check says."""
    return engine.inspect(container)["State"]["Health"]["Status"]


def test_image(checks, engine, folder, moto):
    """Part two: the router from the project's own image, run by the same engine."""
    archive = folder / "image.tar"
    with container_image.storage():
        container_image.build()
        container_image.buildah(
            "push", "--quiet", container_image.IMAGE, f"docker-archive:{archive}:sluice:system-test"
        )
    engine.docker("load", "--input", archive)
    sockets = folder / "task"
    sockets.mkdir()
    config = folder / "generated.conf"
    config.write_text(generated_config("/var/run/fluent.sock", moto.endpoint))
    container = start_router_container(engine, config, sockets)
    try:
        support.wait_until(
            lambda: support.accepts_unix(sockets / "fluent.sock"), 10, "the router's container to listen"
        )
        watched = witness.Witness(folder / "witness.sock", sockets / "fluent.sock")
        applications = run_applications(engine, folder / "witness.sock", CONTAINERS_THROUGH_IMAGE)
        watched.close()
        support.wait_until(lambda: health(engine, container) != "starting", 45, "a first health check")
        verdict = health(engine, container)
        checks.check("the engine calls the router's container healthy", verdict == "healthy", verdict)
        engine.docker("stop", "--time", 30, container)
        status = engine.inspect(container)["State"]["ExitCode"]
        checks.check("the router's container drained and exited 0", status == 0, f"status {status}")
    finally:
        print(f"     {engine.last_line(container)}")
    arrived = arrived_records(moto, applications)
    check_lines(checks, arrived, applications, "the image")
    check_witnessed(checks, arrived, watched.records())


def test(checks):
    with (
        support.scratch_folder("engine") as folder,
        support.moto(folder) as moto,
        docker_engine.running(folder) as engine,
    ):
        import_application(engine, folder)
        test_process(checks, engine, folder, moto)
        test_image(checks, engine, folder, moto)


if __name__ == "__main__":
    support.run_test(test)
