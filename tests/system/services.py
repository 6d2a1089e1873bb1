"""Every AWS output with its main options against moto: text and order arrive as they were sent.

One router has all the outputs, and every record goes to each of them: CloudWatch Logs, Firehose (which writes to S3), Kinesis and S3, in
the dialects of the C and of the Go plugins, and through a role that STS hands out. A second tag carries what is large enough for an
upload in parts.

Arguments choose cases by a part of their name: `services.py kinesis gzip`. Without arguments all of them run.
"""

import base64
import collections
import datetime
import gzip
import hashlib
import json
import re
import socket
import sys
import time
import urllib.parse
import zlib

import clients
import relay
import support

RECORDS = 600
TAG = "app-firelens-0123456789abcdef"
LARGE_TAG = "large"
LARGE_RECORDS = 14
GROUP = "/system/services"
ROLE = "arn:aws:iam::123456789012:role/delivery"

# name, plugin, its settings, what the service has, what it must have
Case = collections.namedtuple("Case", "name plugin settings read expected")


def made_records():
    """What is sent: (nanoseconds, record); the number leads each text, so that none equals another."""
    start = (time.time_ns() // 1_000_000 - 600_000) * 1_000_000
    for n in range(RECORDS):
        text = f"{n}|{clients.TEXTS[n % len(clients.TEXTS)]}"
        record = {"z": n, "log": text, "kind": "even" if n % 2 == 0 else "odd", "a.b": {"c.d": [1, {"e.f": None}], "x": 2.5}}
        yield start + n * 1_000_003, record


def large_records():
    """Fourteen megabytes, which compress badly enough."""
    start = time.time_ns() - 600_000_000_000
    for n in range(LARGE_RECORDS):
        noise = b"".join(hashlib.sha256(f"{n}.{part}".encode()).digest() for part in range(21_000))
        yield start + n * 1_000_000, {"z": n, "log": f"{n}|{base64.b64encode(noise).decode()}"}


SENT = list(made_records())
LARGE = list(large_records())


# --- what must arrive


def pairs(text):
    """A JSON object with its keys in their order."""
    return json.loads(text, object_pairs_hook=lambda found: ("object", found))


def as_pairs(value):
    """The same of a Python value."""
    return pairs(json.dumps(value))


def whole(_when, record):
    return as_pairs(record)


def sorted_whole(_when, record):
    return pairs(json.dumps(record, sort_keys=True))


def text_alone(_when, record):
    return record["log"]


def with_dashes(value):
    """A record with no dots in its keys, except below arrays."""
    if not isinstance(value, dict):
        return value
    return {key.replace(".", "-"): with_dashes(inner) for key, inner in value.items()}


def moment(when, digits):
    """UTC with so many digits of the second's fraction."""
    date = datetime.datetime.fromtimestamp(when // 1_000_000_000, datetime.timezone.utc)
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when % 1_000_000_000:09}"[:digits]


def with_time_behind(when, record):
    return as_pairs({**record, "time": moment(when, 9)})


def with_date_in_front(when, record):
    return as_pairs({"date": moment(when, 6) + "Z", **record})


def chosen_keys(when, record):
    return pairs(json.dumps({"log": record["log"], "t": moment(when, 3), "a-b": with_dashes(record["a.b"])}, sort_keys=True))


def all_of(make):
    return lambda: [make(when, record) for when, record in SENT]


def events_of(make, sent=None, keep=lambda record: True):
    """The same with the time that CloudWatch keeps."""
    return lambda: [(when // 1_000_000, make(when, record)) for when, record in sent or SENT if keep(record)]


# --- what has arrived


def number(data):
    """The number that leads a text or stands in a record, to put objects into the order of what they hold."""
    return int(re.search(rb'"z":(\d+)|^(\d+)\||"log":"(\d+)\|', data).group(0).strip(b'"zlog:|'))


def texts(data):
    """The texts of lines that may hold newlines: each begins with its number."""
    found = re.split(r"(?:^|(?<=\n))(?=\d+\|)", data.decode())
    return [text[:-1] for text in found if text]


def objects(data):
    """The records of JSON lines."""
    return [pairs(line) for line in data.decode().split("\n") if line]


def kpl_records(data):
    """The user records of one aggregated record; <https://github.com/awslabs/amazon-kinesis-producer>."""
    if data[:4] != b"\xf3\x89\x9a\xc2":
        return [data]
    message, digest = data[4:-16], data[-16:]
    if hashlib.md5(message).digest() != digest:
        raise ValueError("the digest of an aggregated record is wrong")
    return [dict(fields(content))[3] for field, content in fields(message) if field == 3]


def fields(message):
    """The fields of a protobuf message: numbers, and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            length = varint()
            yield tag >> 3, message[at : at + length]
            at += length


def read_logs(stream, parse, group=GROUP):
    return lambda moto: [(when, parse(message)) for when, message in moto.log_events(group, stream)]


def bodies(moto, bucket, prefix=""):
    """The objects of a bucket, by key."""
    s3 = moto.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key) for key in keys}


def read_objects(bucket, split, unpack=lambda data: data, prefix=""):
    """What the objects of a bucket hold; within each the order is checked, and the objects are put behind each other by it."""

    def read(moto):
        data = [unpack(body["Body"].read()) for body in bodies(moto, bucket, prefix).values()]
        return [item for part in sorted(data, key=number) for item in split(part)]

    return read


def read_kinesis(stream, split, unpack=lambda data: [data]):
    def read(moto):
        kinesis = moto.client("kinesis")
        shards = kinesis.describe_stream(StreamName=stream)["StreamDescription"]["Shards"]
        arrived = []
        for shard in shards:
            token = kinesis.get_shard_iterator(
                StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                page = kinesis.get_records(ShardIterator=token, Limit=10_000)
                arrived += [item for record in page["Records"] for item in unpack(record["Data"])]
                token = page["NextShardIterator"]
                if not page["Records"]:
                    break
        return [text for item in arrived for text in split(item)]

    return read


# --- the cases


def logs(name, settings, parse, expected, plugin="cloudwatch_logs"):
    stream = f"{name}/{TAG}"
    base = {"log_group_name": GROUP, "log_stream_prefix": f"{name}/", "auto_create_group": "true"}
    return Case(f"logs.{name}", plugin, {**base, **settings}, read_logs(stream, parse), expected)


def firehose(name, settings, split, expected, plugin="kinesis_firehose", unpack=lambda data: data):
    target = {"delivery_stream": f"fh-{name}"}
    read = read_objects(f"fh-{name}", split, unpack)
    return Case(f"firehose.{name}", plugin, {**target, **settings}, read, expected)


def kinesis(name, settings, split, expected, plugin="kinesis_streams", unpack=lambda data: [data]):
    target = {"stream": f"kds-{name}"}
    read = read_kinesis(f"kds-{name}", split, unpack)
    return Case(f"kinesis.{name}", plugin, {**target, **settings}, read, expected)


def s3(name, settings, split, expected, unpack=lambda data: data, tag=TAG):
    target = {"bucket": f"s3-{name}", "total_file_size": "50M", "Match": tag}
    return Case(f"s3.{name}", "s3", {**target, **settings}, read_objects(f"s3-{name}", split, unpack), expected)


def go_names():
    """Groups and streams that the Go plugin names after the record."""
    settings = {
        "log_group_name": "/go/$(tag[0])",
        "log_stream_name": "$(kind)-$(a.b)",
        "default_log_stream_name": "fallback",
        "auto_create_group": "true",
        "log_key": "log",
    }
    group = f"/go/{TAG}"
    kinds = ("even", "odd")

    def read(moto):
        return [read_logs("fallback", str, group)(moto), *[read_logs(f"{kind}-", str, group)(moto) for kind in kinds]]

    expected = events_of(lambda when, record: record["log"].strip(" \t\r\n\x0b\x0c"))
    return Case("logs.go-names", "cloudwatch", settings, read, lambda: [expected(), [], []])


def c_template():
    settings = {
        "log_group_name": GROUP,
        "log_stream_name": "nothing-else",
        "log_stream_template": "template/$kind",
        "auto_create_group": "true",
        "log_key": "log",
    }
    kinds = ("even", "odd")

    def read(moto):
        return [read_logs(f"template/{kind}", str)(moto) for kind in kinds]

    expected = [events_of(text_alone, keep=lambda record, kind=kind: record["kind"] == kind) for kind in kinds]
    return Case("logs.template", "cloudwatch_logs", settings, read, lambda: [of_kind() for of_kind in expected])


def gzip_members(data):
    return gzip.decompress(data)


CASES = [
    logs("whole", {}, pairs, events_of(whole)),
    logs("text", {"log_key": "log"}, str, events_of(text_alone)),
    logs("gzip", {"compression": "gzip", "log_key": "log"}, str, events_of(text_alone)),
    logs("emf", {"log_format": "json/emf", "log_retention_days": "7"}, pairs, events_of(whole)),
    logs("role", {"role_arn": ROLE, "external_id": "outside", "endpoint": "RELAY", "sts_endpoint": "RELAY"}, pairs, events_of(whole)),
    logs(
        "go",
        {"log_stream_prefix": "go/", "auto_create_stream": "true"},
        pairs,
        events_of(sorted_whole),
        plugin="cloudwatch",
    ),
    c_template(),
    go_names(),
    firehose("whole", {}, objects, all_of(whole)),
    firehose("text", {"log_key": "log"}, texts, all_of(text_alone)),
    firehose(
        "time", {"time_key": "time", "time_key_format": "%Y-%m-%dT%H:%M:%S.%9N"}, objects, all_of(with_time_behind)
    ),
    firehose("joined", {"log_key": "log", "simple_aggregation": "on"}, texts, all_of(text_alone)),
    firehose("gzip", {"compression": "gzip"}, objects, all_of(whole), unpack=gzip_members),
    firehose(
        "gzip-joined",
        {"compression": "gzip", "simple_aggregation": "on"},
        objects,
        all_of(whole),
        unpack=gzip_members,
    ),
    firehose("go", {}, objects, all_of(sorted_whole), plugin="firehose"),
    firehose(
        "go-keys",
        {
            "data_keys": "log,t,a.b",
            "replace_dots": "-",
            "time_key": "t",
            "time_key_format": "%Y-%m-%dT%H:%M:%S.%L",
        },
        objects,
        all_of(chosen_keys),
        plugin="firehose",
    ),
    kinesis("whole", {}, objects, all_of(whole)),
    kinesis("text", {"log_key": "log", "partition_key": "kind"}, texts, all_of(text_alone)),
    kinesis("joined", {"log_key": "log", "simple_aggregation": "on"}, texts, all_of(text_alone)),
    kinesis("gzip", {"compression": "gzip"}, objects, all_of(whole), unpack=lambda data: [gzip.decompress(data)]),
    kinesis("go", {"append_newline": "true"}, objects, all_of(sorted_whole), plugin="kinesis"),
    kinesis("go-kpl", {"aggregation": "true", "partition_key": "kind"}, objects, all_of(sorted_whole), "kinesis", kpl_records),
    kinesis(
        "go-zlib",
        {"compression": "zlib", "append_newline": "true"},
        objects,
        all_of(sorted_whole),
        "kinesis",
        lambda data: [zlib.decompress(data)],
    ),
    s3("whole", {"use_put_object": "on", "storage_class": "STANDARD_IA"}, objects, all_of(with_date_in_front)),
    s3("text", {"use_put_object": "on", "log_key": "log"}, texts, all_of(text_alone)),
    s3("gzip", {"use_put_object": "on", "compression": "gzip"}, objects, all_of(with_date_in_front), unpack=gzip.decompress),
    s3("key", {"use_put_object": "on", "s3_key_format": "/logs/$TAG[1]/%Y/$UUID.json", "s3_key_format_tag_delimiters": "-"},
       objects, all_of(with_date_in_front)),
    s3(
        "parts",
        {"total_file_size": "12M", "upload_chunk_size": "6M", "log_key": "log"},
        texts,
        lambda: [record["log"] for _, record in LARGE],
        tag=LARGE_TAG,
    ),
]  # fmt: skip


def section(case, moto, relay, folder):
    """The output of a case."""
    settings = {"Match": TAG, "region": support.REGION, "endpoint": moto.endpoint, **case.settings}
    settings = {key: relay.endpoint if value == "RELAY" else value for key, value in settings.items()}
    if case.plugin == "s3":
        settings["store_dir"] = folder / case.name
    lines = "".join(f"    {key} {value}\n" for key, value in settings.items())
    return f"[OUTPUT]\n    Name {case.plugin}\n{lines}\n"


def create(case, moto):
    """What the outputs do not make themselves."""
    if "delivery_stream" in case.settings:
        moto.create_delivery_stream(case.settings["delivery_stream"], case.settings["delivery_stream"])
    if "stream" in case.settings:
        moto.client("kinesis").create_stream(StreamName=case.settings["stream"], ShardCount=1)
    if "bucket" in case.settings:
        moto.client("s3").create_bucket(Bucket=case.settings["bucket"])


def compare(checks, case, arrived, expected):
    """Checks that two lists are equal; if not, says where they first differ."""
    if arrived == expected:
        return checks.check(case.name, True, f"{len(arrived)} items")
    differ = [pair for pair in zip(arrived, expected) if pair[0] != pair[1]]
    first = f", first: {str(differ[0][0])[:300]} instead of {str(differ[0][1])[:300]}" if differ else ""
    return checks.check(case.name, False, f"{len(arrived)} of {len(expected)} items, {len(differ)} differ{first}")


def check_beside(checks, moto, relay, names):
    """What the texts do not show."""
    if "logs.emf" in names:
        groups = moto.client("logs").describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        days = [group.get("retentionInDays") for group in groups]
        checks.check("the group that was made keeps its events for 7 days", days == [7], days)
    if "logs.role" in names:
        (question, *more), keys = relay.roles()
        asked = urllib.parse.parse_qs(question)
        checks.check(
            "STS was asked once, for the role and from outside",
            not more and (asked["RoleArn"], asked["ExternalId"]) == ([ROLE], ["outside"]),
            question,
        )
        checks.check("the role's keys sign the requests", relay.keys_used() == set(keys), keys)
    if "s3.whole" in names:
        found = [body.get("StorageClass") for body in bodies(moto, "s3-whole").values()]
        checks.check("objects have their storage class", set(found) == {"STANDARD_IA"}, found)
    if "s3.key" in names:
        keys = list(bodies(moto, "s3-key"))
        fits = [re.fullmatch(r"logs/firelens/\d{4}/[0-9A-Za-z]{8}\.json", key) for key in keys]
        checks.check("objects have the keys that were asked for", bool(keys) and all(fits), keys)
    if "s3.parts" in names:
        tags = [body["ETag"].strip('"') for body in bodies(moto, "s3-parts").values()]
        parts = [int(tag.rpartition("-")[2]) for tag in tags if "-" in tag]
        checks.check("a large object came in parts", any(count > 1 for count in parts), tags)


def test(checks):
    wanted = sys.argv[1:]
    cases = [case for case in CASES if all(part in case.name for part in wanted)]
    with (
        support.scratch_folder("services") as folder,
        support.moto(folder) as moto,
        relay.running(moto.port) as between,
    ):
        for case in cases:
            create(case, moto)
        port = support.free_port()
        head = f"[SERVICE]\n    Flush 1\n    Grace 60\n\n[INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n\n"
        configured = head + "".join(section(case, moto, between, folder) for case in cases)
        with support.router(folder, configured, env={"TZ": "UTC"}) as router:
            router.wait_until_listening(port)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for when, record in SENT:
                    support.send(connection, TAG, when, record)
                for when, record in LARGE:
                    support.send(connection, LARGE_TAG, when, record)
            status, took = router.stop(within=120)
            checks.check("the router drained and exited 0", status == 0, f"status {status} after {took:.1f} s")
            print(f"     {router.last_line()}")
            for case in cases:
                compare(checks, case, case.read(moto), case.expected())
            check_beside(checks, moto, between, [case.name for case in cases])


if __name__ == "__main__":
    support.run_test(test)
