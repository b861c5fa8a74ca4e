#!/usr/bin/env bash
# Makes a virtual environment with pip in it: make-venv.sh FOLDER PYTHON
#
# Debian's python3 comes without ensurepip, which the usual `python3 -m venv` needs. So, in this
# order: venv itself, its package installed by apt-get (as root), a virtualenv, uv or pip that is
# already here, or Debian's pip, downloaded and unpacked beside the environment (no root needed).
set -euo pipefail

main() {
    folder=$(realpath --canonicalize-missing "$1")
    python=$2
    unpacked=$(mktemp --directory)
    trap 'rm -rf "$unpacked"' EXIT
    command -v "$python" >/dev/null || fail "$python is not there; install Python 3.10 or later, or say which with PYTHON=..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$python is $("$python" --version); Python 3.10 or later is needed (say which with PYTHON=...)."
    for way in with_venv with_debian_venv with_virtualenv with_uv with_pip_here with_debian_pip; do
        rm -rf "$folder"
        $way >/dev/null 2>&1 && "$folder/bin/python" -m pip --version >/dev/null 2>&1 && return
    done
    rm -rf "$folder"
    fail "$python cannot make a virtual environment with pip; install python3-venv (apt-get install python3-venv) and try again."
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

with_venv() { "$python" -c 'import ensurepip' && "$python" -m venv "$folder"; }

with_debian_venv() {
    [[ $(id -u) -eq 0 ]] && is_debians_python || return 1
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends python3-venv; } || return 1
    with_venv
}

with_virtualenv() { "$python" -m virtualenv "$folder" || virtualenv --python "$python" "$folder"; }

with_uv() { uv venv --seed --python "$python" "$folder"; }

with_pip_here() {
    "$python" -m venv --without-pip "$folder" &&
        "$python" -m pip --python "$folder/bin/python" install pip
}

# apt-get can download as any user, once it keeps its lists in a folder of that user's.
with_debian_pip() {
    is_debians_python || return 1
    mkdir -p "$unpacked"/{lists/partial,cache/archives/partial}
    (cd "$unpacked" && private_apt update && private_apt download python3-pip-whl) || return 1
    dpkg-deb --extract "$unpacked"/python3-pip-whl_*.deb "$unpacked" || return 1
    "$python" -m venv --without-pip "$folder" || return 1
    PYTHONPATH=$(echo "$unpacked"/usr/share/python-wheels/pip-*.whl) "$folder/bin/python" -m pip install pip
}

private_apt() {
    apt-get --quiet --option Dir::State::Lists="$unpacked/lists" --option Dir::Cache="$unpacked/cache" "$@"
}

is_debians_python() {
    command -v apt-get >/dev/null && [[ $("$python" -c 'import sys; print(sys.base_prefix)') == /usr ]]
}

main "$@"
