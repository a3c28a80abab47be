#!/usr/bin/env bash
# Installs the grader of homework @homework@ once, when the image is built.
set -euo pipefail
root="${MINICNN_AUTOGRADER_ROOT:-/autograder}"
source="$root/source"

python=""
for candidate in "${MINICNN_AUTOGRADER_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -z "${MINICNN_AUTOGRADER_NO_APT:-}" ]; then
    apt-get update -q
    apt-get install -qy bubblewrap || echo "no bubblewrap here: another sandbox will be used"
    if [ -z "$python" ]; then
        apt-get install -qy python3.12-venv || apt-get install -qy python3.11-venv
        python="$(command -v python3.12 || command -v python3.11)"
    fi
fi
if [ -z "$python" ]; then
    echo "expected Python 3.11 or newer with venv; found none" >&2
    exit 1
fi

"$python" -m venv "$root/venv"
"$root/venv/bin/python" -m pip install --quiet --disable-pip-version-check ${MINICNN_AUTOGRADER_PIP:-} "$source/course[student]"
chmod -R go= "$source"  # the tests, the reference and the secrets of this file tree are not for a student's code
