#!/usr/bin/env bash
# Installs Charliecloud's ch-run, which runs images without special rights, for the tests that need
# a container engine, and the static busybox of which they make an image. Both are Debian's own
# packages; where they are there already, nothing is done. Needs root and Debian.
#
# Progress goes to standard output. If they cannot be had, one sentence on standard error says why,
# and the exit code is 1.
set -euo pipefail

PACKAGES=(charliecloud-runtime busybox-static)

say() { printf 'install-charliecloud: %s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

if dpkg --status "${PACKAGES[@]}" >/dev/null 2>&1; then
    say "${PACKAGES[*]} are here already"
    exit
fi
[[ $(id -u) -eq 0 ]] || fail "Installing ${PACKAGES[*]} needs root (you are $(id -un))."
command -v apt-get >/dev/null || fail "${PACKAGES[*]} can be installed on Debian only (no apt-get here)."
say "installing ${PACKAGES[*]}"
log=$(mktemp --tmpdir install-charliecloud.XXXXXX)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install --yes --no-install-recommends "${PACKAGES[@]}"; } >"$log" 2>&1; then
    fail "apt-get could not install ${PACKAGES[*]}; see $log."
fi
rm -f "$log"
