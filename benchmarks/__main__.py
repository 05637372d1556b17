"""Run every benchmark and print each ratio beside its goal: `make bench`.

python -m benchmarks [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.comparing import RESULTS, Goal, machine, say
from benchmarks.shapes import embedded
from botbridge.inference.choice import ADDED_BY, installed_engines
from botbridge.setting_groups import DEFAULT_MODEL


@dataclass(frozen=True)
class Benchmark:
    """A module here, run with `python -m benchmarks.MODULE`.

    Attributes:
        goals: Those of docs/performance.md that it measures.
        quickly: The arguments that make it quick.
        engine: What it cannot do without; None when the base dependencies suffice.
    """

    module: str
    goals: tuple[str, ...]
    quickly: tuple[str, ...]
    engine: str | None = None


BENCHMARKS = (
    Benchmark("start", ("P7",), ("--times", "1")),
    Benchmark("hot_path", ("P5",), ("--seconds", "3")),
    Benchmark("long_history", ("P6",), ("--turns", "100000", "--rounds", "3")),
    Benchmark("transformers_batch", ("P1",), ("--rounds", "1")),
    Benchmark("engines", ("P4", "P8", "P10"), ("--without-1b",)),
    Benchmark("fair_share", ("P9",), ("--rounds", "1")),
    Benchmark("one_person", ("P3",), ("--rounds", "1", "--without-1b"), engine="llamacpp"),
    Benchmark("whole_bridge", ("P2",), ("--rounds", "1", "--without-1b")),
)

TABLE = RESULTS / "table.md"


def main() -> int:
    """Run them one after another; 0 when all ran, whatever they found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs these one after another, and prints what was found beside the goals of docs/performance.md:",
        epilog="\n".join(f"{', '.join(each.goals):12} python -m benchmarks.{each.module}" for each in BENCHMARKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round of each, on the embedded model only")
    quick = parser.parse_args().quick
    for old in RESULTS.glob("p*.json"):
        old.unlink()
    # Fetched once; the benchmarks look for it in the home that the settings name.
    subprocess.run([sys.executable, "-m", "botbridge", "models", "pull", DEFAULT_MODEL], check=True)
    failed = []
    for each in BENCHMARKS:
        if each.engine is not None and each.engine not in installed_engines():
            say(
                f"{each.module}: left out, the engine {each.engine} is not installed; `{ADDED_BY[each.engine]}` adds it"
            )
            continue
        say(f"== {each.module}")
        command = [sys.executable, "-m", f"benchmarks.{each.module}", *(each.quickly if quick else ())]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(each.module)
    print("\nAll together:")
    for goal in _goals():
        print(goal)
    facts = described(machine() | {DEFAULT_MODEL: embedded().revision[:12]})
    print(facts)
    TABLE.write_text(f"{facts}\n\n{markdown(_goals())}", encoding="utf-8")
    say(f"the same as Markdown: {TABLE}")
    if failed:
        say(f"did not run to their end: {', '.join(failed)}")
    return 1 if failed else 0


def described(facts: Mapping[str, object]) -> str:
    """Name the machine and the versions, in one line.

    >>> described({"processor": "AMD EPYC", "cores": 2, "threads": 2, "torch": "2.13.0", "xllamacpp": None})
    'AMD EPYC, 2 cores, 2 threads, torch 2.13.0, without xllamacpp'
    """
    first = f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads"
    rest = {name: version for name, version in facts.items() if name not in {"processor", "cores", "threads"}}
    return ", ".join(
        [first, *(f"without {name}" if version is None else f"{name} {version}" for name, version in rest.items())]
    )


def markdown(goals: Sequence[Goal]) -> str:
    """Return the table of README: each ratio beside its goal."""
    lines = ["| goal | what | ratio | wanted | |", "|---|---|---|---|---|"]
    lines += [f"| {goal.id} | {goal.what} | {goal.ratio:.2f} | {goal.wanted} | {goal.verdict} |" for goal in goals]
    return "\n".join(lines) + "\n"


def _goals() -> list[Goal]:
    found = [json.loads(path.read_text(encoding="utf-8"))["goals"] for path in sorted(RESULTS.glob("p*.json"))]
    return [Goal(**{name: value for name, value in goal.items() if name != "met"}) for goals in found for goal in goals]


if __name__ == "__main__":
    sys.exit(main())
