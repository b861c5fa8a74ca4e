#!/usr/bin/env bash
# Boots a real one-node Slurm with accounting on this machine, for the tests.
#
# Where a Slurm with accounting answers already, nothing is done. Elsewhere this needs root on
# Debian: it installs Debian's own packages and starts munge, MariaDB, slurmdbd, slurmctld and
# slurmd by hand, since a container has no init system. It may be run again at any time: what
# answers is left alone, a configuration that exists is used as it is.
#
# Progress goes to standard output. If no Slurm answers in the end, one sentence on standard
# error says why, and the exit code is 1.
set -euo pipefail

CONFIG=/etc/slurm
LOGS=/var/log/slurm
PACKAGES=(slurm-wlm slurmdbd munge mariadb-server)
PATIENCE=60 # seconds that each daemon has to answer

main() {
    if slurm_answers; then
        say "a Slurm with accounting answers already"
        return
    fi
    can_boot_here
    install_packages
    prepare_folders
    write_configuration
    start_munge
    start_mariadb
    start_slurmdbd
    start_slurmctld
    start_slurmd
    wait_for "Slurm's accounting" "$LOGS/slurmdbd.log" slurm_answers
    say "Slurm is up: $(sinfo --noheader --format '%n, %c CPUs, %m MB' | head -n 1)"
}

say() { printf 'boot-slurm: %s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# wait_for NAME LOG COMMAND...: until the command succeeds, or fail with a sentence.
wait_for() {
    local name=$1 log=$2 end=$((SECONDS + PATIENCE))
    shift 2
    until "$@"; do
        ((SECONDS < end)) || fail "$name did not answer within $PATIENCE seconds; see $log."
        sleep 0.2
    done
}

# ---- what answers ----

slurm_answers() {
    timeout 20 sinfo --noheader >/dev/null 2>&1 &&
        timeout 20 sacct --noheader --starttime=now >/dev/null 2>&1 &&
        ! node_is_deserted
}
munge_answers() { munge --no-input 2>/dev/null | unmunge >/dev/null 2>&1; }
mariadb_answers() { mariadb-admin ping >/dev/null 2>&1; }
slurmdbd_answers() { timeout 10 sacctmgr --noheader show cluster >/dev/null 2>&1; }
slurmctld_answers() { timeout 10 scontrol ping 2>/dev/null | grep -q ' UP$'; }
slurmd_answers() { slurmd_runs && timeout 10 sinfo --noheader --format %T 2>/dev/null | grep -qxE 'idle|mixed|allocated'; }
# The controller alone cannot tell: it calls a node idle whose slurmd is gone, for SlurmdTimeout
# (five minutes), and after a restart as well.
slurmd_runs() { timeout 10 scontrol show slurmd >/dev/null 2>&1; }
node_is_deserted() { timeout 10 scontrol show node "$(host)" >/dev/null 2>&1 && ! slurmd_runs; }

# ---- steps ----

can_boot_here() {
    [[ $(id -u) -eq 0 ]] ||
        fail "No Slurm with accounting answers, and booting one needs root (you are $(id -un))."
    command -v apt-get >/dev/null ||
        fail "No Slurm with accounting answers, and one can be installed on Debian only (no apt-get here)."
}

install_packages() {
    local log
    dpkg --status "${PACKAGES[@]}" >/dev/null 2>&1 && return
    log=$(mktemp --tmpdir boot-slurm-apt.XXXXXX)
    say "installing ${PACKAGES[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install --yes --no-install-recommends "${PACKAGES[@]}"; } >"$log" 2>&1; then
        fail "apt-get could not install ${PACKAGES[*]}; see $log."
    fi
    rm -f "$log"
}

prepare_folders() {
    mkdir -p "$CONFIG" "$LOGS" /var/spool/slurmctld /var/spool/slurmd
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o mysql -g mysql -m 755 /run/mysqld
}

# The host's own name, as slurmctld and slurmd compare it with the configuration.
host() { uname -n | cut -d . -f 1; }

# All but a twentieth of the memory, in MB: a node with less than it was configured with is drained.
memory() { awk '/^MemTotal:/ {printf "%d", $2 / 1024 * 0.95}' /proc/meminfo; }

write_configuration() {
    if [[ -e $CONFIG/slurm.conf ]]; then
        configuration_is_for_this_host ||
            fail "$CONFIG/slurm.conf belongs to another controller than this host; it was left as it is."
        say "using the $CONFIG/slurm.conf that is there"
        return
    fi
    # slurmdbd insists that nobody else can read its configuration.
    (umask 077 && print_slurmdbd_conf >"$CONFIG/slurmdbd.conf")
    # No control groups are used below, and without this line slurmd would look for a systemd that
    # manages them, which a container has not.
    [[ -e $CONFIG/cgroup.conf ]] || echo CgroupPlugin=cgroup/v1 >"$CONFIG/cgroup.conf"
    print_slurm_conf >"$CONFIG/slurm.conf"
}

configuration_is_for_this_host() { grep -qE "^SlurmctldHost=$(host)(\(|\$)" "$CONFIG/slurm.conf"; }

# No password: MariaDB knows root by the socket it comes from.
print_slurmdbd_conf() {
    cat <<EOF
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
CommunicationParameters=NoInAddrAny
LogFile=$LOGS/slurmdbd.log
PidFile=/run/slurmdbd.pid
EOF
}

# - MinJobAge: controller commands know a job for this long after its end.
# - OverSubscribe: many small jobs at once on few CPUs.
# - SchedulerParameters, JobAcctGatherFrequency: no test should wait for Slurm's usual leisure.
# - config_overrides: the node has what is written here, whatever a container lets it see.
# - PropagateResourceLimits: a limit that may not be raised would be complained of in a job's log.
print_slurm_conf() {
    cat <<EOF
ClusterName=test
SlurmctldHost=$(host)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
PropagateResourceLimits=NONE
ReturnToService=2
JobRequeue=1
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdSpoolDir=/var/spool/slurmd
StateSaveLocation=/var/spool/slurmctld
SlurmctldLogFile=$LOGS/slurmctld.log
SlurmdLogFile=$LOGS/slurmd.log
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MaxArraySize=100001
MaxJobCount=200000
MinJobAge=3600
NodeName=$(host) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(memory) State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:32
EOF
}

start_munge() {
    munge_answers && return
    [[ -e /etc/munge/munge.key ]] || runuser -u munge -- mungekey --create
    say "starting munge"
    runuser -u munge -- munged >"$LOGS/munge.log" 2>&1 || true
    wait_for munge "$LOGS/munge.log" munge_answers
}

# It listens on its socket only. In a session of its own, so that a Ctrl-C here does not end it.
start_mariadb() {
    mariadb_answers && return
    say "starting MariaDB"
    setsid mariadbd-safe --user=mysql --skip-networking </dev/null >"$LOGS/mariadb.log" 2>&1 &
    wait_for MariaDB "$LOGS/mariadb.log" mariadb_answers
}

start_slurmdbd() {
    slurmdbd_answers && return
    say "starting slurmdbd"
    slurmdbd >"$LOGS/slurmdbd.start" 2>&1 || true
    wait_for slurmdbd "$LOGS/slurmdbd.log" slurmdbd_answers
}

start_slurmctld() {
    slurmctld_answers && return
    say "starting slurmctld"
    slurmctld >"$LOGS/slurmctld.start" 2>&1 || true
    wait_for slurmctld "$LOGS/slurmctld.log" slurmctld_answers
}

start_slurmd() {
    slurmd_answers && return
    say "starting slurmd"
    slurmd >"$LOGS/slurmd.start" 2>&1 || true
    wait_for slurmd "$LOGS/slurmd.log" slurmd_answers
}

main "$@"
