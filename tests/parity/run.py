#!/usr/bin/env python3
"""Runs the conformance cases that this version claims, listed in cases.txt.

usage: run.py BINARY CONFORMANCE_FOLDER [KIND...]

The cases and their runners live beside the repository. The claimed cases of each kind are linked into a folder of their own and
the kind's runner is started on it once. A pattern that fits no case is an error, so that the list cannot rot.
"""
import fnmatch
import pathlib
import subprocess
import sys
import tempfile

RUNNERS = {
    "pipelines": "conformance.py",
    "deviations": "conformance.py",
    "outputs": "outputs.py",
    "outputs-deviations": "outputs.py",
    "engine": "engine.py",
    "engine-deviations": "engine.py",
}


def claimed(list_file):
    """Yields (kind, pattern, is_exception) for each line."""
    for line in list_file.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            kind, pattern = line.split()
            yield kind, pattern.removeprefix("!"), pattern.startswith("!")


def cases(kind, patterns, folder):
    names = sorted(entry.name for entry in (folder / kind).iterdir() if entry.is_dir())
    chosen = set()
    for pattern, exception in patterns:
        fitting = set(fnmatch.filter(names, pattern))
        if not fitting:
            sys.exit(f"cases.txt: no case {kind}/{pattern}")
        chosen = chosen - fitting if exception else chosen | fitting
    return sorted(chosen)


def main():
    binary, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    wanted = sys.argv[3:] or list(RUNNERS)
    lines = list(claimed(pathlib.Path(__file__).with_name("cases.txt")))
    passed = True
    for kind in wanted:
        names = cases(kind, [(p, e) for k, p, e in lines if k == kind], folder)
        with tempfile.TemporaryDirectory() as links:
            for name in names:
                pathlib.Path(links, name).symlink_to(folder / kind / name)
            print(f"{kind}: {len(names)} cases", flush=True)
            command = [sys.executable, folder / RUNNERS[kind], "--bin", binary, "--cases", links, "--jobs", "4"]
            passed &= subprocess.run(command, check=False).returncode == 0
    sys.exit(0 if passed else 1)


main()
