"""Run every benchmark and print each ratio beside its goal: `make bench`.

python -m benchmarks [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.comparing import RESULTS, Goal, say
from botbridge.inference.choice import ADDED_BY, installed_engines

NEEDS_LLAMACPP = "llamacpp"

BENCHMARKS: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("start", None, ("--times", "1")),
    ("transformers_batch", None, ("--rounds", "1")),
    ("engines", None, ("--without-1b",)),
    ("fair_share", None, ("--rounds", "1")),
    ("one_person", NEEDS_LLAMACPP, ("--rounds", "1", "--without-1b")),
    ("whole_bridge", NEEDS_LLAMACPP, ("--rounds", "1", "--without-1b")),
)
"""Each with the engine that it cannot do without, and what makes it quick."""


def main() -> int:
    """Run them one after another; 0 when all ran, whatever they found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="one round of each, on the embedded model only")
    quick = parser.parse_args().quick
    for old in RESULTS.glob("p*.json"):
        old.unlink()
    failed = []
    for name, engine, quickly in BENCHMARKS:
        if engine is not None and engine not in installed_engines():
            say(f"{name}: left out, the engine {engine} is not installed; `{ADDED_BY[engine]}` adds it")
            continue
        say(f"== {name}")
        command = [sys.executable, "-m", f"benchmarks.{name}", *(quickly if quick else ())]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    print("\nAll together:")
    for goal in _goals():
        print(goal)
    if failed:
        say(f"did not run to their end: {', '.join(failed)}")
    return 1 if failed else 0


def _goals() -> list[Goal]:
    found = [json.loads(path.read_text(encoding="utf-8"))["goals"] for path in sorted(RESULTS.glob("p*.json"))]
    return [Goal(**{name: value for name, value in goal.items() if name != "met"}) for goals in found for goal in goals]


if __name__ == "__main__":
    sys.exit(main())
