"""A relay in front of moto that remembers who asked what: moto itself takes any credentials and does not tell."""

import contextlib
import http.client
import http.server
import re
import threading


class Relay:
    """Passes POST requests on to a port, and keeps them with their answers."""

    def __init__(self, port):
        exchanges = self.exchanges = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802, the name is the library's
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                upstream.request("POST", self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                exchanges.append((dict(self.headers), body.decode(errors="replace"), content.decode(errors="replace")))
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                upstream.close()

            def log_message(self, *_):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def roles(self):
        """The questions to STS, and the keys that it gave."""
        asked = [(body, answer) for _, body, answer in self.exchanges if "Action=AssumeRole" in body]
        keys = [re.search("<AccessKeyId>(.*?)</AccessKeyId>", answer).group(1) for _, answer in asked]
        return [body for body, _ in asked], keys

    def keys_used(self):
        """The keys with which everything else was signed."""
        others = [headers for headers, body, _ in self.exchanges if "Action=AssumeRole" not in body]
        signatures = [{name.lower(): value for name, value in headers.items()}["authorization"] for headers in others]
        return {re.search("Credential=([^/]+)/", signature).group(1) for signature in signatures}


@contextlib.contextmanager
def running(port):
    """Runs a relay to a local port."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.server.shutdown()
        relay.server.server_close()
