"""The bench tool's sink: plays CloudWatch Logs and Firehose over TLS, with the services' own strictness."""

import base64
import contextlib
import json
import urllib.parse
import urllib.request

import support


class Sink:
    """A running sink, seen through its control port."""

    def __init__(self, port, control_port, ca_file):
        self.port = port
        self.control_port = control_port
        self.ca_file = ca_file

    def _get(self, path, **query):
        url = f"http://127.0.0.1:{self.control_port}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    def stats(self):
        """Its counters: requests, refusals, violations."""
        return self._get("stats")

    def log_events(self, group, stream):
        """The events of a log stream in the order they arrived, as (timestamp in milliseconds, message)."""
        events = self._get("events", group=group, stream=stream)["events"]
        return [(event["timestamp"], event["message"]) for event in events]

    def records(self, stream):
        """The data of a delivery stream's records, in the order they arrived."""
        return [base64.b64decode(record["Data"]) for record in self._get("records", stream=stream)["records"]]


@contextlib.contextmanager
def running(folder, *options):
    """Runs a sink that keeps everything."""
    ca_file = folder / "sink.pem"
    log = folder / "sink.log"
    command = [support.bench_binary(), "sink", "--ca-file", ca_file, "--keep", "1G", *options]
    with support.process(command, log, support.CREDENTIALS) as child:

        def first_line():
            if child.poll() is not None:
                raise RuntimeError(log.read_text())
            text = log.read_text()
            return text.splitlines()[0] if "\n" in text else None

        ready = json.loads(support.wait_until(first_line, 10, "the sink to listen"))
        yield Sink(ready["port"], ready["control_port"], ca_file)
