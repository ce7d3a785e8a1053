"""A private Slurm cluster of two nodes on this machine, for tests: its own munge key and socket, its own ports and files.

Each node has a mount namespace of its own with its own /tmp, as two machines would. Nothing of a Slurm that runs here already is touched."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo", "unshare", "setpriv")
SEARCHED = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# cred_expire is also how long a requeued job waits before it may start again. config_overrides lets a node claim more cores
# than the machine has. Pings of all nodes are waited for together, so a node that hangs delays what is known of the others by
# MessageTimeout: with SlurmdTimeout near to that, they count as lost too.
CONFIG = """\
ClusterName=thresher
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire=5
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
MpiDefault=pmix
JobRequeue=1
ReturnToService=2
MessageTimeout=3
SlurmdTimeout=12
KillWait=5
MinJobAge=1000
PropagateResourceLimits=NONE
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 State=UNKNOWN\n"


def why_not():
    """What keeps a private cluster from starting here; empty where nothing does."""
    if os.geteuid() != 0:
        return "a private Slurm cluster needs root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    return f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)" if missing else ""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processes_with(variable):
    """Processes whose environment holds `variable`, such as A=b."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)
        except OSError:
            continue  # it has ended since


class Cluster:
    def __init__(self):
        # Not in /tmp, which the nodes do not share; and short, as sockets' names are.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="thresher-slurm-", dir="/var/tmp"))
        self.directory.chmod(0o755)
        self.daemons, self.lost = {}, []
        self.config = self.directory / "slurm.conf"
        self.environment = dict(
            os.environ, PATH=SEARCHED, SLURM_CONF=str(self.config), OMP_NUM_THREADS="1", OMPI_MCA_pml="ob1",
            OMPI_MCA_btl="self,tcp", OMPI_MCA_btl_tcp_if_include="lo", OMPI_MCA_mpi_yield_when_idle="1")
        for name in ("PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_SIZE"):
            self.environment.pop(name, None)

    def start(self):
        directory, host = self.directory, socket.gethostname()
        ports = free_ports(1 + len(NODES))
        (directory / "state").mkdir()
        self.config.write_text(CONFIG.format(directory=directory, host=host, port=ports[0]) + "".join(
            NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:])))
        key = directory / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.daemon("munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={directory}/munge.socket",
                    f"--pid-file={directory}/munged.pid", f"--log-file={directory}/munged.log",
                    f"--seed-file={directory}/munged.seed")
        self.wait("munged", lambda: (directory / "munge.socket").exists())
        self.daemon("slurmctld", "slurmctld", "-D", "-c", "-f", self.config)
        for node in NODES:
            self.start_node(node)
        self.wait("the nodes", self.nodes_are_idle)

    def start_node(self, node):
        private = self.directory / f"tmp.{node}"
        private.mkdir(exist_ok=True)
        self.daemon(node, "unshare", "--mount", "--propagation", "private", "sh", "-c", f'mount --bind "{private}" /tmp && exec "$@"',
                    "sh", "slurmd", "-D", "-N", node, "-f", self.config)

    def lose_second_node(self):
        """As when a machine loses its power: nothing on it answers any more, and nothing says so."""
        self.lost = []
        while new := set(self.on_second_node()) - set(self.lost):  # what was started meanwhile
            for pid in new:
                self.kill(pid, signal.SIGSTOP)
            self.lost += new

    def replace_second_node(self):
        for pid in self.lost:
            self.kill(pid, signal.SIGKILL)
        self.daemons["n2"].wait()
        for disk in ("tmp.n2", "spool.n2"):
            shutil.rmtree(self.directory / disk)
        self.start_node("n2")

    def on_second_node(self):
        """Its daemon, its job steps and their tasks."""
        def namespace(pid):
            try:
                return os.readlink(f"/proc/{pid}/ns/mnt")
            except OSError:
                return ""  # it has ended since

        its = namespace(self.daemons["n2"].pid)
        return [pid for pid in self.processes() if namespace(pid) == its]

    @staticmethod
    def kill(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it has ended since

    def processes(self):
        return list(processes_with(f"SLURM_CONF={self.config}"))

    def daemon(self, name, *command):
        with open(self.directory / f"{name}.out", "a") as output:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd=self.directory, env=self.environment, start_new_session=True)

    def nodes_are_idle(self):
        states = self.output("sinfo", "-h", "-N", "-o", "%t", check=False).split()
        return states == ["idle"] * len(NODES)

    def wait(self, what, done, seconds=60):
        deadline = time.monotonic() + seconds
        while not done():
            ended = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                reason = f"ended: {ended}" if ended else f"{seconds} s are over"
                raise RuntimeError(f"{what} did not come to be, {reason}\n{self.logs()}")
            time.sleep(0.05)

    def logs(self):
        """The last lines of what the daemons say."""
        texts = []
        for log in sorted(self.directory.glob("*.log")):
            texts.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(texts)

    def output(self, *command, check=True, **options):
        environment = dict(self.environment, **options.pop("environment", {}))
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, env=environment,
                                check=False, **options)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stderr}{result.stdout}")
        return result.stdout

    def stop(self):
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            self.output("scancel", "--full", "--signal=KILL", "--user=root", check=False)
            self.output("scancel", "--user=root", check=False)
        for daemon in reversed(self.daemons.values()):
            daemon.kill()
            daemon.wait()
        for pid in self.processes():
            self.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
