"""Faults of services, connections and credentials while records flow: nothing may be lost, no limit broken.

The short form of what `sluice-bench faults` and `sluice-bench soak` do (docs/delivery.md): every fault for a moment against one output
each, and credentials of 8 seconds from endpoints half of whose answers fail or hang.

Arguments choose faults by their names: `faults.py outage page`. Without arguments all of them happen, and the soak.
"""

import json
import subprocess
import sys

import support

SHORT = ["--once", "--rate", "500", "--before", "1s", "--during", "2s", "--after", "1s", "--streams", "30"]
SOAK = ["--for", "30s", "--life", "8s", "--rate", "300"]
# Above the longest of them, by far: a router that hangs is a failure and not a wait.
PATIENCE = 900


def run(command, *options):
    """Runs the bench tool with the router, and answers (exit status, what it printed)."""
    ended = subprocess.run(
        [support.bench_binary(), command, support.router_binary(), *options],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode, ended.stdout


def check_faults(checks, folder, names):
    """One line of the table for each fault."""
    chosen = [option for name in names for option in ("--fault", name)]
    report = folder / "faults.json"
    status, table = run("faults", *SHORT, *chosen, "--json", report, "--folder", folder / "faults")
    print(table)
    results = json.loads(report.read_text())["results"]
    for result in results:
        counted = f"{result['records']} records, {result['duplicates']} twice, caught up in {result['seconds_to_catch_up']} s"
        checks.check(f"{result['fault']} with {result['output']}", not result["broken"], f"{counted} {result['broken'] or ''}")
    checks.check("every fault was tried", status == 0 and len(results) >= max(len(names), 1), f"{len(results)} faults")


def check_soak(checks, folder, source):
    """Credentials that end all the time."""
    status, text = run("soak", *SOAK, "--from", source, "--folder", folder / source)
    result = json.loads(text)
    credentials = result["credentials"]
    checks.check(f"credentials from {source}", status == 0, f"{result['records']} records, {credentials} {result['broken'] or ''}")
    # Otherwise nothing was tried.
    checks.check(
        f"{source} handed out several sets, failed and hung",
        credentials["issued"] >= 3 and credentials["failed"] > 0 and credentials["hung"] > 0,
        credentials,
    )


def test(checks):
    names = sys.argv[1:]
    with support.scratch_folder("faults") as folder:
        check_faults(checks, folder, names)
        if not names:
            for source in ("ecs", "imds"):
                check_soak(checks, folder, source)


if __name__ == "__main__":
    support.run_test(test)
