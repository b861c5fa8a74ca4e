"""A second Slurm for tests alone: several nodes on this host, no accounting, and it may be broken.

It has a configuration, ports and folders of its own and shares nothing with the Slurm that runs
here but munge's key. It needs root, and is up in about two seconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import wait_for

NODES = ("n1", "n2")

LARGEST_ARRAY = 5
"""Tasks of an array: less than a site allows, so that it is soon reached."""

DAEMONS = ("slurmctld", "slurmd", "munge", "sbatch", "squeue", "scontrol")

PATIENCE = 20
"""Seconds for each answer."""

# - MinJobAge, SlurmdTimeout, cred_expire: how soon jobs are forgotten, nodes are given up, and
#   requeued jobs start again.
# - MessageTimeout: how long a client waits for a controller that is there and does not answer.
CONFIGURATION = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
PropagateResourceLimits=NONE
ReturnToService=2
JobRequeue=1
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=2
MessageTimeout=2
KillWait=1
MailProg={folder}/mail
MinJobAge=2
MaxArraySize={largest_array}
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:32
PartitionName=short Nodes=n1 MaxTime=1 State=UP OverSubscribe=FORCE:32
"""


class PrivateCluster:
    """A controller and its nodes, each a process that was started here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        host = os.uname().nodename.partition(".")[0]
        text = CONFIGURATION.format(
            folder=folder,
            host=host,
            ports=_free_ports(1 + len(NODES)),
            largest_array=LARGEST_ARRAY,
        )
        self.configuration.write_text(text)
        self._make_mail_program()
        # Without this line slurmd would look for a systemd that manages control groups.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")

    def _make_mail_program(self) -> None:
        """In the place of mail(1): it is called with ``-s SUBJECT ADDRESS``."""
        program = self.folder / "mail"
        program.write_text(f'#!/bin/sh\necho "$3: $2" >> {self.mails}\n')
        program.chmod(0o755)

    @property
    def mails(self) -> Path:
        """What was sent, a line each: address and subject."""
        return self.folder / "mails"

    def start(self) -> None:
        """Start all daemons and wait until the nodes are idle."""
        self.start_controller()
        for node in NODES:
            self.start_node(node)

    def start_controller(self) -> None:
        """Start the controller, with what it remembers, and wait until it answers."""
        (self.folder / "state").mkdir(exist_ok=True)
        self._start("slurmctld", "slurmctld", "-D", "-i")
        wait_for(lambda: " UP" in self.tell("scontrol", "ping"))

    def start_node(self, node: str) -> None:
        """Start a node and wait until it can take a job."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        self._start(node, "slurmd", "-D", "-N", node)
        wait_for(lambda: self._is_ready(node))

    def stop_controller(self) -> None:
        """The controller goes as it does when its machine is shut down: it keeps its state."""
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(PATIENCE)

    @contextlib.contextmanager
    def without_controller(self) -> Iterator[None]:
        """The controller is down for as long as the context lasts."""
        self.stop_controller()
        try:
            yield
        finally:
            self.start_controller()

    @contextlib.contextmanager
    def stalled_controller(self) -> Iterator[None]:
        """The controller takes connections, but does nothing for as long as the context lasts."""
        daemon = self._daemons["slurmctld"]
        daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            daemon.send_signal(signal.SIGCONT)

    def forget_everything(self) -> None:
        """All jobs are gone, and ids start anew."""
        self.stop_controller()
        shutil.rmtree(self.folder / "state")
        self.start_controller()

    def lose(self, node: str) -> None:
        """A node dies with all that runs there."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        self._kill(node)

    def stop(self) -> None:
        """End all that was started here, jobs included."""
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        self._daemons.clear()
        for node in NODES:
            self._kill(node)

    def is_up(self, node: str) -> bool:
        """Whether the node's daemon was started and not lost."""
        return node in self._daemons

    def tell(self, *command: str) -> str:
        """What a Slurm command prints here, whatever its exit code."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE
        ).stdout

    def _is_ready(self, node: str) -> bool:
        state = self.tell("sinfo", "--noheader", f"--nodes={node}", "--format=%T").strip()
        return state in ("idle", "mixed", "allocated")

    def _start(self, name: str, *command: str) -> None:
        # What a node starts inherits its name, and is found by it.
        environment = {**os.environ, "SLURM_CONF": str(self.configuration), "SLURMD_NODENAME": name}
        with (self.folder / f"{name}.out").open("wb") as output:
            self._daemons[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _kill(self, node: str) -> None:
        """End what a node has left running: jobs, and the steps that look after them."""
        marks = {
            f"SLURM_CONF={self.configuration}".encode(),
            f"SLURMD_NODENAME={node}".encode(),
        }
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marks <= set((process / "environ").read_bytes().split(b"\0")):
                    os.kill(int(process.name), signal.SIGKILL)


def obstacle() -> str:
    """Why there can be no second Slurm here; empty where there can."""
    if os.getuid():
        return "only root can start Slurm's daemons"
    missing = [program for program in DAEMONS if not shutil.which(program)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if subprocess.run(["munge", "--no-input"], capture_output=True, check=False).returncode:
        return "munge does not answer"
    return ""


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="session")
def cluster_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCluster]:
    """The cluster, once for each process that runs tests."""
    if reason := obstacle():
        pytest.skip(f"no second Slurm: {reason}")
    cluster = PrivateCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(
    cluster_of_this_run: PrivateCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateCluster]:
    """The cluster, to which Slurm's commands lead while the test runs."""
    monkeypatch.setenv("SLURM_CONF", str(cluster_of_this_run.configuration))
    yield cluster_of_this_run
    cluster_of_this_run.tell("scancel", "--user=root")
