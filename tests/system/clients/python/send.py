"""Sends a file of records with the PyPI client `fluent-logger`.

Arguments: the file, the address (a path, or a TCP port), the tag. This client knows no acks: it only sees write errors.
"""

import json
import sys

from fluent.sender import EventTime, FluentSender


def main():
    file, address, tag = sys.argv[1:]
    where = {"host": "127.0.0.1", "port": int(address)} if address.isdigit() else {"host": f"unix://{address}"}
    with open(file, encoding="utf-8") as lines, FluentSender(tag, timeout=30, **where) as sender:
        for line in lines:
            entry = json.loads(line)
            if not sender.emit_with_time(None, EventTime(entry["sec"], entry["nsec"]), entry["record"]):
                sys.exit(f"not sent: {sender.last_error!r}")


if __name__ == "__main__":
    main()
