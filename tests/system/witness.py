"""A relay between a log driver and the router that remembers what passed: it alone knows what the driver wrote.

Docker's driver throws away what it has still queued when a container exits, so the lines a container printed are not
the measure; the messages that left the driver are.
"""

import collections
import contextlib
import socket
import threading

import msgpack


class Witness:
    """Relays connections from one unix socket to another and keeps the driver's bytes of each."""

    def __init__(self, path, upstream):
        self.upstream = str(upstream)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(128)
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                driver, _ = self.listener.accept()
                passed = bytearray()
                relay = threading.Thread(target=self._relay, args=(driver, passed), daemon=True)
                self.connections.append((relay, passed))
                relay.start()

    def _relay(self, driver, passed):
        with driver, socket.socket(socket.AF_UNIX) as router:
            router.connect(self.upstream)
            while chunk := driver.recv(65536):
                passed += chunk
                router.sendall(chunk)
            router.shutdown(socket.SHUT_WR)
            # The router closes when it has read everything; until then the bytes are only in the kernel's hands.
            router.recv(1)

    def close(self):
        """Ends when every connection has been passed on to its end."""
        for relay, _ in self.connections:
            relay.join(30)
        self.listener.close()

    def records(self):
        """The records of all whole messages, by tag, in the order they were written."""
        written = collections.defaultdict(list)
        for _, passed in self.connections:
            messages = msgpack.Unpacker(raw=False, unicode_errors="replace")
            messages.feed(passed)
            for tag, _, record, *_ in messages:
                written[tag].append(record)
        return written
