#!/bin/sh
# Prints the first Python that botbridge can be set up with: 3.11 to 3.14, with venv and pip.
# For 3.15 there is no build of torch yet, see constraints.txt.
# PYTHON names another one.
set -eu

reason_not() {
    "$1" -c 'import sys; sys.exit("it is older than 3.11" if sys.version_info < (3, 11) else 0)' 2>&1 || return 0
    "$1" -c 'import sys; sys.exit("it is newer than 3.14" if sys.version_info >= (3, 15) else 0)' 2>&1 || return 0
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 || echo "its venv or ensurepip module is missing"
}

if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || { echo "setup: PYTHON=$PYTHON is not a command" >&2; exit 1; }
    reason=$(reason_not "$PYTHON")
    [ -z "$reason" ] || { echo "setup: PYTHON=$PYTHON will not do: $reason" >&2; exit 1; }
    echo "$PYTHON"
    exit 0
fi

for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    [ -n "$(reason_not "$candidate")" ] || { echo "$candidate"; exit 0; }
done

echo "setup: no Python 3.11 to 3.14 with venv and pip was found on the PATH." >&2
echo "setup: install one (Debian, Ubuntu: apt install python3 python3-venv;" >&2
echo "setup: Ubuntu 22.04: apt install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3" >&2
exit 1
