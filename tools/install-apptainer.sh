#!/usr/bin/env bash
# Installs Apptainer, which runs images in SIF files, for the tests that need one.
#
# Debian 12 has no package of it, so that of Debian's rolling release is taken. Nobody has pinned
# it: it may change, or be gone for a while, and whoever calls this has to get on without it. It
# wants a newer C library than this system's, which goes with it into a folder of its own, and its
# two programs are told to look there. Needs root, Debian and the network.
#
# Where an Apptainer works already, nothing is done. Progress goes to standard output. If none works
# in the end, one sentence on standard error says why, and the exit code is 1.
set -euo pipefail

LIBRARIES=/opt/apptainer-libc
SYSTEM=usr/lib/x86_64-linux-gnu
# What Apptainer calls, what changes its programs, and what the first image is made of.
PACKAGES=(squashfs-tools squashfuse fuse-overlayfs fuse3 uidmap patchelf busybox-static)
TRIES=2
PATIENCE=60 # seconds for an image to be built, and for a command in it

main() {
    work=$(mktemp -d --tmpdir install-apptainer.XXXXXX)
    log=$work/log
    if command -v apptainer >/dev/null && passes runs_a_command; then
        say "$(apptainer --version) works already"
    else
        can_install_here
        say "installing Apptainer from Debian's rolling release"
        step install_helpers "apt-get could not install ${PACKAGES[*]}"
        step download "the rolling release could not be downloaded"
        step unpack "the packages of the rolling release are not what they were"
        step runs_a_command "it was installed, but runs no command in an image"
        say "$(apptainer --version) works"
    fi
    rm -rf "$work"
}

say() { printf 'install-apptainer: %s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# In a process of its own: within a condition, a function goes on after a command that fails.
passes() { "$BASH" "$0" "$1" "$work" >>"$log" 2>&1; }

# step NAME SENTENCE: a mirror may be busy for a moment, so there is a second try.
step() {
    local try
    for ((try = 1; try <= TRIES; try++)); do
        passes "$1" && return
    done
    fail "No Apptainer could be installed: $2; see $log."
}

can_install_here() {
    [[ $(id -u) -eq 0 ]] || fail "No Apptainer works here, and installing one needs root (you are $(id -un))."
    command -v apt-get >/dev/null || fail "No Apptainer works here, and one can be installed on Debian only (no apt-get here)."
    [[ $(uname -m) == x86_64 ]] || fail "No Apptainer works here, and none is known for $(uname -m)."
}

install_helpers() {
    export DEBIAN_FRONTEND=noninteractive
    dpkg --status "${PACKAGES[@]}" && return
    apt-get update
    apt-get install --yes --no-install-recommends "${PACKAGES[@]}"
}

# The lists and packages of the other release stay apart from the system's own.
download() {
    local mirror options
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
    mkdir -p lists/partial cache/archives/partial
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >sources.list
    options=(
        -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download apptainer libc6
}

unpack() {
    local program
    dpkg-deb --extract apptainer_*.deb new
    dpkg-deb --extract libc6_*.deb libc
    mkdir -p "$LIBRARIES"
    cp -a libc/$SYSTEM/*.so* "$LIBRARIES"
    for program in new/usr/bin/apptainer new/$SYSTEM/apptainer/bin/starter; do
        patchelf --set-interpreter "$LIBRARIES/ld-linux-x86-64.so.2" \
            --force-rpath --set-rpath "$LIBRARIES:/$SYSTEM" "$program"
    done
    # Root in a container or a small virtual machine may lack capabilities that would be kept.
    sed -i 's/^root default capabilities = .*/root default capabilities = no/' new/etc/apptainer/apptainer.conf
    cp -a new/etc/apptainer /etc/
    cp -a new/$SYSTEM/apptainer /$SYSTEM/
    mkdir -p /var/lib/apptainer/mnt/session
    # Last, and under its name at once: where the program is, all else is.
    cp -a new/usr/bin/apptainer /usr/bin/.apptainer-new
    mv /usr/bin/.apptainer-new /usr/bin/apptainer
}

# A version proves little: an image is built, and a command run in it.
runs_a_command() {
    rm -rf image
    mkdir -p image/{bin,dev,etc,proc,root,sys,tmp,var/tmp}
    cp "$(command -v busybox)" image/bin/sh
    timeout "$PATIENCE" apptainer build --force image.sif image
    timeout "$PATIENCE" apptainer exec image.sif /bin/sh -c 'exit 0'
}

if (($#)); then
    work=$2
    cd "$work"
    "$1"
else
    main
fi
