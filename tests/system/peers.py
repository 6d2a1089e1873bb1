"""Many, slow and hasty peers: the bench tool's `peers`, with smaller numbers, as a test of what must hold at any speed.

Nothing here depends on how quick the machine is; times are for a quiet one and the full command (README, "Measure").
"""

import json
import subprocess

import support

IDLE, LORIS, HALF, LIMIT_MIB = 2000, 200, 200, 16
# What comes on top of Mem_Buf_Limit: connections and their tasks, and what the allocator cannot give back.
BESIDE_MIB = 8
OPTIONS = {
    "--seconds": "3s",
    "--idle": IDLE,
    "--active": 20,
    "--loris": LORIS,
    "--connects": 500,
    "--storm": "10s",
    "--each": 5000,
    "--frames": 1000,
    "--half": HALF,
    "--limit": f"{LIMIT_MIB}M",
}


def run(folder):
    """What was measured, by scenario; every number under its name."""
    report = folder / "peers.json"
    command = [support.bench_binary(), "peers", f"sluice={support.router_binary()}", "--folder", folder, "--json", report]
    command += [str(part) for option in OPTIONS.items() for part in option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    print(done.stdout)
    results = json.loads(report.read_text())["results"]
    return {result["scenario"]: result["measured"] for result in results}


# Checklist: forward 10, 55.
def test(checks):
    with support.scratch_folder("peers") as folder:
        measured = run(folder)
        idle, loris, storm = measured["idle"], measured["loris"], measured["storm"]
        half, each, acks = measured["half"], measured["each"], measured["acks"]
        for kind in ("silent", "idle"):
            cost = idle[f"each {kind} peer bytes"]
            checks.check(f"a {kind} peer takes less than 4 KiB", cost < 4096, cost)
        checks.check("every slow peer is closed", loris["slow peers never closed"] == 0)
        first = loris["slow peers closed after, median s"]
        checks.check("a slow peer is given a minute", 55 < first, f"{first} s")
        checks.check("no connection of a storm fails", storm["connections that failed"] == 0)
        grown = storm["RSS after MiB"] - storm["RSS before MiB"]
        checks.check("a storm leaves no memory behind", grown < 4, f"{grown:.1f} MiB")
        grown = half["growth of the peak RSS MiB"]
        most = LIMIT_MIB + BESIDE_MIB
        checks.check("halves of messages stay within Mem_Buf_Limit", grown < most, f"{grown} of {most} MiB")
        for name, scenario in (("idle", idle), ("loris", loris), ("storm", storm), ("half", half)):
            left = scenario["descriptors left behind"]
            checks.check(f"{name}: every descriptor is closed", left == 0, left)
        for name, scenario in (("each", each), ("acks", acks)):
            missing = scenario["acks that never came"]
            checks.check(f"{name}: every ack comes", missing == 0, missing)


if __name__ == "__main__":
    support.run_test(test)
