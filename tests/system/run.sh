#!/usr/bin/env bash
# All system tests, one after the other; fails when one of them does.
set -euo pipefail
cd "$(dirname "$0")"
for test in clients services faults monitoring peers image engine; do
    echo "== $test"
    python3 "$test.py"
done
