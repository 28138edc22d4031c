#!/bin/sh
# Make the virtual environment from the lock. Called by make; PYTHON and VENV may be set.
set -eu
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "headrace needs Python 3.11 or newer, and $PYTHON is not that." >&2
    echo "Name one: make PYTHON=python3.12 demo" >&2
    exit 2
fi

if command -v uv >/dev/null 2>&1; then
    export UV_COMPILE_BYTECODE=1
    [ -x "$VENV/bin/python" ] || uv venv --quiet --python "$PYTHON" "$VENV"
    uv pip install --quiet --python "$VENV/bin/python" --require-hashes -r requirements.lock
    uv pip install --quiet --python "$VENV/bin/python" --no-deps -e .
else
    if [ ! -x "$VENV/bin/pip" ]; then
        "$PYTHON" -m venv "$VENV" || {
            echo "Python's venv is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2
            exit 2
        }
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
fi

if ! "$VENV/bin/python" -c 'import lightgbm' 2>/dev/null; then
    echo "LightGBM can't be loaded; it needs OpenMP, which this machine lacks." >&2
    echo "On Debian and Ubuntu: apt-get install libgomp1; on macOS: brew install libomp" >&2
    exit 2
fi
touch "$VENV/.ready"
