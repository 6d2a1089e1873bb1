"""Importing this installs what the tests need (install.sh, quick when nothing is missing) and goes on in the virtual
environment where moto, boto3 and the Python client live; so `python3 tests/system/clients.py` is all there is to type.
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "system"

if pathlib.Path(sys.prefix) != WORK / "venv":
    subprocess.run([HERE / "install.sh"], check=True, stdout=subprocess.DEVNULL)
    python = str(WORK / "venv" / "bin" / "python")
    os.execv(python, [python, *sys.argv])
