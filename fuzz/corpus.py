#!/usr/bin/env python3
"""Makes the corpus of every fuzz target from the recorded vectors: corpus.py VECTORS/forward"""
import json
import pathlib
import sys

vectors = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).resolve().parent / "corpus"
LONGEST = 100_000


def put(target, name, data):
    folder = here / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def payload(data):
    """What a packed frame seems to carry: the bytes from the first magic on."""
    for magic in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"):
        if (start := data.find(magic)) >= 0:
            return data[start:]
    return None


for kind in ("valid", "malformed"):
    for path in sorted((vectors / kind).glob("*.msgpack")):
        data = path.read_bytes()
        if len(data) > LONGEST:
            continue
        put("decode", path.stem, data)
        for piece in (1, 7, 64):
            put("framing", f"{path.stem}-{piece}", bytes([piece]) + data)
        if inside := payload(data):
            put("inflate", path.stem, inside)
for path in sorted((vectors / "handshake").glob("*.json")):
    vector = json.loads(path.read_text())
    for key in ("helo_hex", "client_bytes_hex"):
        put("handshake", f"{path.stem}-{key}", bytes.fromhex(vector[key]))
    if pong := vector["expect"].get("pong_hex"):
        put("handshake", f"{path.stem}-pong", bytes.fromhex(pong))
# What reads text begins with texts that go deep into it.
TEXTS = {
    "accessor": ["$a", "$a['b'][1]['c']", "$a['a.b']", "b['x']", "$a['it''s'][0]"],
    "template": ["out.$TAG[1].$a['b'][0].$1", "$TAG$a.$b,$f \"$n\"", "t_$0_x.$1$1.", "/ecs/$b-x/$TAG[9]"],
    "sql": [
        "SELECT * FROM STREAM;",
        "SELECT a, b AS c FROM STREAM WHERE a = 1 AND NOT (b > 'it''s' OR c IS NOT NULL);",
        "select a from stream x where b >= -2.5 or a <> true and c is null",
    ],
    "time_format": ["%Y-%m-%dT%H:%M:%S.%L%z\n2024-01-02T03:04:05.123456789Z", "%d/%b/%Y:%H:%M:%S %z\n10/Oct/2023:13:55:36 -0700"],
    "parsers": [
        '{"a":"{\\"x\\":1}","b":"\\\\u00e9","time":"2024-01-02T03:04:05.5Z"}',
        "a:1\tb:true\tc:ff\td:1e3\ttime:1700000001.75",
        'a=1 b="x \\"y\\"" bare time=10/Oct/2023:13:55:36',
        "word 12:30",
    ],
    "multiline": [
        chr(choice) + text
        for choice in range(12)
        for text in (
            'one\nException in thread "main" java.lang.X: y\n    at a.b(C.java:1)\nCaused by: java.io.IOException: x\n    ... 3 more\ntwo',
            "panic: x\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/a.go:1 +0x1\nend",
            'Traceback (most recent call last):\n  File "a", line 1, in f\n    g()\nValueError: x\nend.',
            "2024-01-02T03:04:05.5Z stdout P one \n2024-01-02T03:04:05.6Z stdout F two\nx",
            '{"log":"a\\n","stream":"stdout","time":"2024-01-02T03:04:05.5"}\n\xff\na\n b\n-c.',
        )
    ],
}
for target, texts in TEXTS.items():
    for number, text in enumerate(texts):
        put(target, f"text-{number}", text.encode("latin-1"))
(here.parent / "artifacts").mkdir(exist_ok=True)
for folder in sorted(here.iterdir()):
    print(f"{folder.name}: {len(list(folder.iterdir()))}")
