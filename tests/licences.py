#!/usr/bin/env python3
"""Checks that every dependency has a licence of deny.toml's list and comes from the registry: cargo-deny's checks, offline."""
import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
allowed = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])


def acceptable(expression):
    """Whether an SPDX expression can be met: one side of every OR, all sides of every AND."""
    expression = expression.replace("/", " OR ")
    tokens = re.findall(r"[()]|[^\s()]+", re.sub(r" WITH [^\s()]+", "", expression))
    words = [t if t in "()" else {"AND": "and", "OR": "or"}.get(t, str(t in allowed)) for t in tokens]
    return eval(" ".join(words), {"__builtins__": {}}, {})  # noqa: S307: only True, False, and, or, brackets


command = ["cargo", "metadata", "--locked", "--format-version", "1"]
packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)["packages"]
wrong = []
for package in packages:
    if not acceptable(package["license"] or "none"):
        wrong.append(f"{package['name']} {package['version']}: licence {package['license']}")
    if package["source"] and not package["source"].startswith("registry+"):
        wrong.append(f"{package['name']} {package['version']}: source {package['source']}")
print(*wrong, f"licences: {len(packages)} packages, {len(wrong)} wrong", sep="\n")
sys.exit(1 if wrong else 0)
