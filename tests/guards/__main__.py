"""Takes each guard out once and looks whether its test notices: `python -m tests.guards [CASE …]`.

The project is copied, so that nothing is changed in it. A test that fails because the
rest of the code no longer runs has noticed nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.guards.removals import ROOT, Removal, read_removals

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".home", ".hypothesis", "*_cache", "__pycache__")
AT_ONCE = 2
LIMIT_S = 300.0
"""For one test; each has its own time-out far below."""

NO_PROOF = (
    "AttributeError",
    "TypeError",
    "NameError",
    "ImportError",
    "ModuleNotFoundError",
    "SyntaxError",
    "UnboundLocalError",
)
"""What says that the code was broken, not that a guard was missing."""


@dataclass(frozen=True)
class Seen:
    """How a test ended without its guard."""

    removal: Removal
    noticed: bool
    said: str
    took_s: float


def run(tree: Path, tests: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests of one copy, with the model that the project's own tests have."""
    home = os.environ.get("BOTBRIDGE_TEST_HOME") or str(ROOT / ".home")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *options, *tests],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "BOTBRIDGE_TEST_HOME": home, "COLUMNS": "400"},  # reasons stay whole
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S * len(tests),
    )


def without(tree: Path, removal: Removal) -> Seen:
    """Take one guard out of a copy, run its test, put the guard back."""
    file = tree / removal.file
    whole = file.read_text()
    file.write_text(whole.replace(removal.text, removal.without))
    began = time.monotonic()
    try:
        ended = run(tree, [removal.test])
    finally:
        file.write_text(whole)
    failed = re.search(r"^FAILED .*?(?: - (.*))?$", ended.stdout, re.MULTILINE)
    said = (failed.group(1) or "failed") if failed else (ended.stdout.strip().splitlines() or ["nothing"])[-1]
    noticed = failed is not None and not said.startswith(NO_PROOF)
    return Seen(removal, noticed=noticed, said=said, took_s=time.monotonic() - began)


def main(cases: Sequence[str]) -> int:
    """Print a line for each guard; 1 when a test did not notice that its guard was gone."""
    removals = [removal for removal in read_removals() if not cases or removal.case in cases]
    with tempfile.TemporaryDirectory() as folder:
        trees = SimpleQueue[Path]()
        for number in range(AT_ONCE):
            trees.put(shutil.copytree(ROOT, Path(folder, str(number)), ignore=LEFT_OUT))

        def one(removal: Removal) -> Seen:
            tree = trees.get()
            try:
                return without(tree, removal)
            finally:
                trees.put(tree)

        print(f"{len(removals)} guards. With all of them in place:", flush=True)
        whole = run(Path(folder, "0"), sorted({removal.test for removal in removals}), "-n", str(AT_ONCE))
        print("  " + whole.stdout.strip().splitlines()[-1], flush=True)
        if whole.returncode:
            return 1
        print("Without one at a time:", flush=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            seen = []
            for each in pool.map(one, removals):
                seen.append(each)
                word = "noticed" if each.noticed else "UNNOTICED"
                print(f"  {each.removal.case:4}{word:10}{each.took_s:5.0f} s  {each.removal.guard}", flush=True)
                print(f"{'':23}{each.removal.test}: {each.said[:120]}", flush=True)
    missed = [each.removal for each in seen if not each.noticed]
    print(f"{len(seen) - len(missed)} of {len(seen)} noticed by the test that is named for it.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
