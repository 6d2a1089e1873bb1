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
(here.parent / "artifacts").mkdir(exist_ok=True)
for folder in sorted(here.iterdir()):
    print(f"{folder.name}: {len(list(folder.iterdir()))}")
