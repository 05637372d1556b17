"""`python -m botbridge` is the `botbridge` command."""

from __future__ import annotations

from botbridge.cli import main

if __name__ == "__main__":
    main()
