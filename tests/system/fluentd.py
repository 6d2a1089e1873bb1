"""Fluentd between two routers: every record goes through our output, Fluentd's input, Fluentd's output and our input.

    a client -> the router -> Fluentd -> the router once more -> a file

Fluentd comes from rubygems.org, which not every machine reaches, so `run.sh` leaves this test out. The variable FLUENTD holds
the command that starts it, such as `fluentd` after `gem install fluentd`.

Arguments choose cases by a part of their name, as for `clients.py`.
"""

import collections
import contextlib
import os
import shlex
import subprocess
import sys

import clients
import support

# name, our output's settings, Fluentd's source, Fluentd's match, our input's settings
Case = collections.namedtuple("Case", "name output source match input")

KEY = "a shared key"
SECURITY = f"<security>\n self_hostname fluentd.local\n shared_key {KEY}\n%s</security>"
USERS = " user_auth true\n <user>\n  username alice\n  password pw1\n </user>\n"
OURS = {"Shared_Key": KEY, "Self_Hostname": "router.local"}
CASES = [
    Case("plain", {}, "", "", {}),
    Case("ack", {"require_ack_response": "on"}, "", "require_ack_response true", {}),
    Case(
        "gzip",
        {"require_ack_response": "on", "compress": "gzip"},
        "",
        "require_ack_response true\ncompress gzip",
        {},
    ),
    Case("keepalive", {}, "", "require_ack_response true\nkeepalive true", {}),
    Case("udp", {}, "", "heartbeat_type udp", {"UDP_Heartbeat": "on"}),
    Case("key", {"require_ack_response": "on", **OURS}, SECURITY % "", SECURITY % "", OURS),
    Case(
        "users",
        {"require_ack_response": "on", "username": "alice", "password": "pw1", **OURS},
        SECURITY % USERS,
        SECURITY % "",
        {**OURS, "Security.Users": "alice pw1"},
    ),
    Case(
        "tls",
        {"require_ack_response": "on", "tls": "on", "tls.verify": "off"},
        "<transport tls>\n cert_path %(folder)s/cert.pem\n private_key_path %(folder)s/key.pem\n</transport>",
        "require_ack_response true\ntransport tls\ntls_insecure_mode true",
        {"tls": "on", "tls.crt_file": "%(folder)s/cert.pem", "tls.key_file": "%(folder)s/key.pem"},
    ),
]


def section(kind, settings, folder):
    """A section of the classic format."""
    lines = "".join(f"    {key} {value}\n" for key, value in settings.items())
    return f"[{kind}]\n{lines % {'folder': folder}}\n"


def first_config(case, folder, port, fluentd_port):
    """From the client to Fluentd."""
    output = {"Name": "forward", "Match": "*", "Host": "127.0.0.1", "Port": fluentd_port, **case.output}
    return (
        "[SERVICE]\n    Flush 1\n    Grace 60\n\n"
        + section("INPUT", {"Name": "forward", "Listen": "127.0.0.1", "Port": port}, folder)
        + section("OUTPUT", output, folder)
    )


def second_config(case, folder, port):
    """From Fluentd to a file."""
    files = folder / "files"
    files.mkdir()
    return (
        "[SERVICE]\n    Flush 1\n    Grace 60\n\n"
        + section("INPUT", {"Name": "forward", "Listen": "127.0.0.1", "Port": port, **case.input}, folder)
        + section("OUTPUT", {"Name": "file", "Match": "*", "Path": files}, folder)
    )


def fluentd_config(case, folder, port, next_port):
    """Fluentd between the two; a server with users has them beside its address."""
    users = "username alice\n  password pw1" if "Security.Users" in case.input else ""
    return f"""
<system>
 workers 1
</system>
<source>
 @type forward
 bind 127.0.0.1
 port {port}
 {case.source % {"folder": folder} if "%(" in case.source else case.source}
</source>
<match **>
 @type forward
 {case.match}
 <server>
  host 127.0.0.1
  port {next_port}
  {users}
 </server>
 <buffer tag>
  @type memory
  flush_mode interval
  flush_interval 0.2s
  flush_at_shutdown true
 </buffer>
</match>
"""


@contextlib.contextmanager
def fluentd(folder, config, port):
    """Runs Fluentd until the block is left."""
    file = folder / "fluentd.conf"
    file.write_text(config)
    command = [*shlex.split(os.environ.get("FLUENTD", "fluentd")), "--config", file, "--no-supervisor"]
    log = folder / "fluentd.log"
    with support.process(command, log) as child:

        def listens():
            if child.poll() is not None:
                raise RuntimeError(log.read_text(errors="replace"))
            return support.accepts_tcp(port)

        support.wait_until(listens, 60, "Fluentd to listen")
        try:
            yield log
        except BaseException:
            print(f"--- Fluentd's last lines\n{log.read_text(errors='replace')[-4000:]}\n---", flush=True)
            raise


def lines_of(folder, case):
    """How many records have arrived."""
    path = folder / "files" / case.name
    return path.read_bytes().count(b"\n") if path.exists() else 0


def make_certificate(folder):
    """A certificate that nobody has signed, for the cases with TLS."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        stderr=subprocess.DEVNULL,
    )


# Checklist: forward 56, 60.
def pass_through(checks, case, folder):
    """Sends the records of one case and compares what arrives behind Fluentd."""
    first_port, fluentd_port, second_port = support.free_port(), support.free_port(), support.free_port()
    make_certificate(folder)
    (folder / "first").mkdir()
    with (
        support.router(folder, second_config(case, folder, second_port)) as second,
        fluentd(folder, fluentd_config(case, folder, fluentd_port, second_port), fluentd_port) as log,
        support.router(folder / "first", first_config(case, folder, first_port, fluentd_port)) as first,
    ):
        second.wait_until_listening(second_port)
        first.wait_until_listening(first_port)
        client = clients.Case(case.name, "python", "tcp", ())
        records = clients.send(checks, client, folder, {"tcp": str(first_port)}, None)
        wanted = len(records)
        support.wait_until(lambda: lines_of(folder, case) >= wanted, 60, f"{wanted} records behind Fluentd")
        status, _ = first.stop(within=60)
        checks.check(f"{case.name}: the first router exited 0", status == 0, first.last_line())
        status, _ = second.stop(within=60)
        checks.check(f"{case.name}: the second router exited 0", status == 0, second.last_line())
        exact = [((seconds, nanoseconds), record) for seconds, nanoseconds, record in records]
        clients.compare(checks, f"{case.name}: behind Fluentd", exact, clients.read_file(folder / "files", case))
        # That its next stop is gone is its trouble; before that there must be none.
        text = log.read_text(errors="replace")
        complaints = [line for line in text.splitlines() if "[error]" in line or "skip" in line]
        checks.check(f"{case.name}: Fluentd has nothing to object to", not complaints, "; ".join(complaints[:3]))


def test(checks):
    wanted = sys.argv[1:]
    for case in [case for case in CASES if all(part in case.name for part in wanted)]:
        with support.scratch_folder(f"fluentd-{case.name}") as folder:
            pass_through(checks, case, folder)


if __name__ == "__main__":
    support.run_test(test)
