"""`python -m tests.fakes.puller HOME ENDPOINT CATALOGUE NAME`: the product's pull in a process that a test may kill."""

from __future__ import annotations

import sys
from pathlib import Path

from botbridge.models.catalogue import load_catalogue
from botbridge.models.hub import Hub
from botbridge.models.progress import PlainProgress
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore


def main(home: str, endpoint: str, catalogue: str, name: str) -> None:
    """Pull, and print the directory."""
    named = load_catalogue(Path(catalogue)).resolve(name)
    files = pull(named, ModelStore(Path(home)), Hub(endpoint), PlainProgress(sys.stderr))
    print(files.directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
