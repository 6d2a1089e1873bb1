"""Real clients against the router: the PyPI, npm and Go libraries, over TCP and unix, with and without acks.

Every case sends 10 000 records of awkward texts with nanosecond times. Each must arrive once, unchanged, in order, on
four routes at once: moto's CloudWatch Logs, moto's Firehose (to S3), the bench tool's sink, which checks signatures and
limits as the services do, and the `file` output, which shows all nine digits of the time.

Arguments choose cases by a part of their name: `clients.py go unix`. Without arguments all of them run.
"""

import calendar
import collections
import json
import os
import re
import subprocess
import sys
import time

import sink
import support

RECORDS = 10_000
SEND_WITHIN = 60
GROUP = "/system/clients"
DELIVERY_STREAM = "clients"
BUCKET = "clients-delivered"
FILE_LINE = re.compile(r"^(?P<tag>[^:]+): \[(?P<sec>\d+)\.(?P<nsec>\d{9}), (?P<record>\{.*\})\]$", re.DOTALL)

# name, program, transport, what else the program is told
Case = collections.namedtuple("Case", "name program transport options")
CASES = [
    *[Case(f"python.{via}.noack", "python", via, ()) for via in ("tcp", "unix")],
    *[
        Case(f"node.{via}.{ack}", "node", via, ("PackedForward", ack))
        for via in ("tcp", "unix")
        for ack in ("noack", "ack")
    ],
    *[
        Case(f"node.{mode.lower()}.ack", "node", "unix", (mode, "ack"))
        for mode in ("Message", "Forward", "CompressedPackedForward")
    ],
    *[Case(f"go.{via}.{ack}", "go", via, (ack, "sync")) for via in ("tcp", "unix") for ack in ("noack", "ack")],
    Case("go.docker.noack", "go", "unix", ("noack", "async")),
]

TEXTS = [
    "an ordinary line",
    "",
    "שלום, Grüße, 日本語, नमस्ते, 👩‍👩‍👧‍👦 e\u0301 \u2028\u2029",
    'quotes " and \\ backslashes \\n \\u0041, and / slashes',
    "a\nline\r\nthat\tgoes\non\n",
    "controls \x00\x01\x08\x0b\x0c\x1b[31mred\x1b[0m\x7f",
    '{"json": {"inside": [1, 2.50, null]}, "html": "<a href=\'x\'>&amp;</a>"}',
    "5 KB " + "0123456789 áé€😀 " * 230,
    "${HOME} %s $(date) $TAG * ; --",
    " leading and trailing spaces ",
]


def make_records(case):
    """What a case sends: (seconds, nanoseconds, record), in time order, every nanosecond digit in use.

    All values are strings because that is all the Go library's users send; `n` makes equal texts distinct.
    """
    start = time.time_ns() - 600 * 1_000_000_000
    for n in range(RECORDS):
        seconds, nanoseconds = divmod(start + n * 1_000_003, 1_000_000_000)
        yield seconds, nanoseconds, {"case": case.name, "n": str(n), "log": TEXTS[n % len(TEXTS)]}


def write_records(path, records):
    """The file that every client program reads: one JSON object per line."""
    with open(path, "w", encoding="utf-8") as lines:
        for seconds, nanoseconds, record in records:
            lines.write(json.dumps({"sec": seconds, "nsec": nanoseconds, "record": record}) + "\n")


def build_go_client():
    """Compiles the Go program against Debian's package of the library."""
    binary = support.WORK / "bin" / "go-client"
    binary.parent.mkdir(parents=True, exist_ok=True)
    env = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(support.WORK / "go-cache")}
    source = support.HERE / "clients" / "go" / "send.go"
    subprocess.run(["go", "build", "-o", binary, source], check=True, env={**os.environ, **env})
    return binary


def command(case, records, address, go_client):
    """The client program of a case, ready to run."""
    clients = support.HERE / "clients"
    program = {
        "python": [sys.executable, clients / "python" / "send.py"],
        "node": ["node", clients / "node" / "send.js"],
        "go": [go_client],
    }[case.program]
    return [*program, records, address, case.name, *case.options]


def config(moto, receiver, unix_path, port, files):
    """The configuration under test: two inputs, and every record on every route."""
    return f"""
[SERVICE]
    Flush 1
    Grace 60

[INPUT]
    Name forward
    unix_path {unix_path}

[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {port}

[OUTPUT]
    Name cloudwatch_logs
    Match *
    endpoint {moto.endpoint}
    region {support.REGION}
    log_group_name {GROUP}
    log_stream_prefix client/
    auto_create_group true

[OUTPUT]
    Name kinesis_firehose
    Match *
    endpoint {moto.endpoint}
    region {support.REGION}
    delivery_stream {DELIVERY_STREAM}
    time_key time
    time_key_format %Y-%m-%dT%H:%M:%S.%9N

[OUTPUT]
    Name cloudwatch_logs
    Match *
    endpoint https://127.0.0.1:{receiver.port}
    tls.ca_file {receiver.ca_file}
    region {support.REGION}
    log_group_name {GROUP}
    log_stream_prefix client/
    auto_create_group true

[OUTPUT]
    Name file
    Match *
    Path {files}
"""


def compare(checks, name, expected, arrived):
    """Checks that two lists of (time, record) are equal; if not, says what is missing, doubled or changed."""
    if arrived == expected:
        return checks.check(name, True, f"{len(arrived)} records")
    wanted = {record["n"]: (when, record) for when, record in expected}
    seen = collections.Counter(record.get("n") for _, record in arrived)
    missing = len([n for n in wanted if n not in seen])
    doubled = sum(count - 1 for count in seen.values())
    changed = [(when, record) for when, record in arrived if wanted.get(record.get("n")) != (when, record)]
    detail = f"{len(arrived)} of {len(expected)}, {missing} missing, {doubled} doubled, {len(changed)} changed"
    if changed:
        detail += f", first: {str(changed[0])[:300]} instead of {str(wanted.get(changed[0][1].get('n')))[:300]}"
    elif not missing and not doubled:
        detail += ", order differs"
    return checks.check(name, False, detail)


def by_case(records):
    """Groups (time, record) by the case that sent it."""
    groups = collections.defaultdict(list)
    for when, record in records:
        groups[record["case"]].append((when, record))
    return groups


def in_milliseconds(records):
    """What CloudWatch keeps of a time."""
    return [(seconds * 1000 + nanoseconds // 1_000_000, record) for seconds, nanoseconds, record in records]


def read_cloudwatch(service, case):
    """What arrived in the case's log stream; moto and the sink are read alike."""
    events = service.log_events(GROUP, f"client/{case.name}")
    return [(timestamp, json.loads(message)) for timestamp, message in events]


def read_file(folder, case):
    """What the `file` output wrote: one file per tag, one line per record."""
    path = folder / case.name
    arrived = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
        if line:
            match = FILE_LINE.match(line)
            arrived.append(((int(match["sec"]), int(match["nsec"])), json.loads(match["record"])))
    return arrived


def read_firehose(moto):
    """What arrived in the bucket, by case, as ((seconds, nanoseconds), record)."""
    arrived = []
    for line in moto.bucket_lines(BUCKET):
        record = json.loads(line)
        moment, nanoseconds = record.pop("time").split(".")
        seconds = calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))
        arrived.append(((seconds, int(nanoseconds)), record))
    # The names of the bucket's objects do not tell which was delivered first.
    return by_case(sorted(arrived, key=lambda entry: entry[0]))


def send(checks, case, folder, addresses, go_client):
    """Runs one client program to its end and answers what it sent."""
    records = list(make_records(case))
    file = folder / f"{case.name}.jsonl"
    write_records(file, records)
    program = command(case, file, addresses[case.transport], go_client)
    began = time.monotonic()
    try:
        sent = subprocess.run(
            [str(part) for part in program], capture_output=True, text=True, timeout=SEND_WITHIN, check=False
        )
        problem = f"status {sent.returncode} {sent.stderr[-500:]}" if sent.returncode or sent.stderr else ""
    except subprocess.TimeoutExpired:
        problem = "it did not end"
    checks.check(f"{case.name} sent", not problem, f"{time.monotonic() - began:.1f} s {problem}")
    file.unlink()
    return records


def check_arrival(checks, moto, receiver, files, sent):
    """Compares what arrived on the four routes with what was sent."""
    delivered = read_firehose(moto)
    violations = receiver.stats()["violations"]
    checks.check("the sink found nothing to object to", violations["count"] == 0, violations["first"])
    for case, records in sent.items():
        exact = [((seconds, nanoseconds), record) for seconds, nanoseconds, record in records]
        milliseconds = in_milliseconds(records)
        compare(checks, f"{case.name} at CloudWatch", milliseconds, read_cloudwatch(moto, case))
        compare(checks, f"{case.name} at Firehose and S3", exact, delivered[case.name])
        compare(checks, f"{case.name} at the sink", milliseconds, read_cloudwatch(receiver, case))
        compare(checks, f"{case.name} in the file", exact, read_file(files, case))


def test(checks):
    wanted = sys.argv[1:]
    cases = [case for case in CASES if all(part in case.name for part in wanted)]
    go_client = build_go_client()
    with support.scratch_folder("clients") as folder, support.moto(folder) as moto, sink.running(folder) as receiver:
        moto.create_delivery_stream(DELIVERY_STREAM, BUCKET)
        files = folder / "files"
        files.mkdir()
        addresses = {"tcp": str(support.free_port()), "unix": str(folder / "fluent.sock")}
        configured = config(moto, receiver, addresses["unix"], addresses["tcp"], files)
        with support.router(folder, configured) as router:
            router.wait_until_listening(addresses["unix"])
            sent = {case: send(checks, case, folder, addresses, go_client) for case in cases}
            status, took = router.stop(within=90)
            checks.check("the router drained and exited 0", status == 0, f"status {status} after {took:.1f} s")
            print(f"     {router.last_line()}")
        check_arrival(checks, moto, receiver, files, sent)


if __name__ == "__main__":
    support.run_test(test)
