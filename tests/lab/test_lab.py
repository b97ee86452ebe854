"""Does the lab do what its users believe: hosts that see one another, cuts, power loss, and an end without remains?

The daemon is a stand-in here, so that this proves the lab alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import disks
from tests.lab.commands import LabError
from tests.lab.lab import Lab
from tests.lab.plan import PROJECT, Plan
from tests.lab.switch import ruleset

pytestmark = pytest.mark.root

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


def plan(root: Path, hosts: int = 3) -> Plan:
    return Plan(root=root, hosts_count=hosts, subnet="10.177.8", link="noded-test", daemon=STAND_IN)


def lone_plan(root: Path, hosts: int = 1, daemon: tuple[str, ...] = STAND_IN) -> Plan:
    """A second lab, small, beside the shared one."""
    return Plan(root=root, hosts_count=hosts, subnet="10.177.9", link="noded-lone", daemon=daemon)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(plan(tmp_path_factory.mktemp("lab"))) as lab:
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    yield shared
    shared.heal()
    for host in shared.hosts:
        if host.pid is None:
            host.start()
        elif host.daemon != "running":
            host.start_daemon()
    shared.wait_ready()


def reaches(lab: Lab, one: int, other: int) -> bool:
    command = lab.host(one).command("ping", "-c1", "-W1", lab.host(other).address)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def until(true: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_hosts_and_the_machine_see_one_another(lab: Lab) -> None:
    assert reaches(lab, 1, 2)
    assert reaches(lab, 2, 3)
    assert subprocess.run(["ping", "-c1", "-W1", lab.host(3).address], capture_output=True, check=False).returncode == 0
    assert lab.host(2).run("ping", "-c1", "-W1", lab.plan.machine_address)
    assert lab.host(2).run("getent", "hosts", "host3").split()[0] == lab.host(3).address


def test_a_host_has_its_own_name_processes_disks_and_no_kvm(lab: Lab) -> None:
    host = lab.host(1)
    assert host.run("hostname").strip() == "host1"
    assert host.run("cat", "/etc/hostname").strip() == "host1"
    assert "sleep" in host.run("ps", "-p", "1", "-o", "comm=")
    assert host.run("stat", "-f", "-c", "%T", "/var/lib/noded/disks/d1").strip() == "ext2/ext3"
    assert host.run("findmnt", "-n", "-o", "SOURCE", "/var/lib/noded/disks/d1").startswith("/dev/loop")
    assert not host.path("/dev/kvm").exists()
    assert host.path("/dev/net/tun").exists()


def test_hosts_share_no_file_they_write(lab: Lab) -> None:
    for directory in ("/etc", "/var", "/run", "/var/lib/noded", "/var/log"):
        lab.host(1).run("touch", f"{directory}/only-on-host1")
        assert not lab.host(2).path(f"{directory}/only-on-host1").exists()
        assert not Path(f"{directory}/only-on-host1").exists()


def test_each_host_runs_its_own_libvirtd(lab: Lab) -> None:
    ids = {host.run("virsh", "-c", "qemu:///system", "capabilities").split("<uuid>")[1][:36] for host in lab.hosts}
    assert ids == {str(host.plan.uuid) for host in lab.hosts}


def test_the_daemon_may_do_what_its_unit_grants_and_no_more(lab: Lab) -> None:
    daemon = lab.host(1).run("pgrep", "-f", "stand_in.py").split()[0]
    status = lab.host(1).run("cat", f"/proc/{daemon}/status")
    assert "NoNewPrivs:\t1" in status
    capabilities = int(status.split("CapEff:\t")[1].split()[0], 16)
    sys_admin, sys_boot = 1 << 21, 1 << 22
    assert capabilities & sys_admin
    assert not capabilities & sys_boot


def test_a_cut_parts_two_hosts_only_and_heals(lab: Lab) -> None:
    lab.cut(1, 2)
    assert not reaches(lab, 1, 2)
    assert reaches(lab, 1, 3)
    assert reaches(lab, 2, 3)
    lab.heal()
    assert reaches(lab, 1, 2)


def test_cuts_add_up_and_may_be_one_way() -> None:
    text = ruleset([("port1", "port2"), ("port3", "port1")])
    assert 'iifname "port1" oifname "port2" drop' in text
    assert 'iifname "port3" oifname "port1" drop' in text
    assert 'iifname "port2"' not in text


def test_a_killed_host_is_gone_at_once_and_comes_back_with_its_disk(lab: Lab) -> None:
    host = lab.host(2)
    host.run("sh", "-c", "echo kept > /var/lib/noded/disks/d1/file; sync")
    before = host.pids()
    assert len(before) > 3
    assert len(disks.attached(host.plan.directory)) == 2
    host.kill()
    assert disks.attached(host.plan.directory) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert not reaches(lab, 1, 2)
    with pytest.raises(LabError, match="host2 is off"):
        host.run("true")
    host.start()
    lab.wait_ready()
    assert host.run("cat", "/var/lib/noded/disks/d1/file") == "kept\n"
    assert reaches(lab, 1, 2)


def test_power_loss_can_take_what_was_not_synced(lab: Lab) -> None:
    host = lab.host(3)
    for directory in ("/var/lib/noded", "/var/lib/noded/disks/d1"):
        host.run("sh", "-c", f"echo 1 > {directory}/synced; sync {directory}/synced; echo 1 > {directory}/unsynced")
    host.kill(lose_unsynced=True)
    host.start()
    lab.wait_ready()
    for directory in ("/var/lib/noded", "/var/lib/noded/disks/d1"):
        assert host.path(f"{directory}/synced").read_text() == "1\n"
        unsynced = host.path(f"{directory}/unsynced")
        assert not unsynced.exists() or unsynced.read_text() == ""


def test_power_can_go_everywhere_at_once(lab: Lab) -> None:
    lab.host(2).run("sh", "-c", "echo 1 > /var/lib/noded/together; sync /var/lib/noded/together")
    lab.host(1).kill()  # one that is off already does not matter
    lab.kill_all(lose_unsynced=True)
    assert [host.pid for host in lab.hosts] == [None, None, None]
    for host in lab.hosts:
        host.start()
    lab.wait_ready()
    assert lab.host(2).path("/var/lib/noded/together").read_text() == "1\n"
    assert reaches(lab, 3, 1)


def test_a_stopped_daemon_leaves_its_detached_children_running(lab: Lab) -> None:
    host = lab.host(1)
    child = host.path("/run/stand-in-child.pid").read_text().strip()
    host.stop_daemon()
    assert host.daemon != "running"
    assert not host.ready()
    host.run("kill", "-0", child)
    host.start_daemon()
    lab.wait_ready()
    assert host.path("/run/stand-in-child.pid").read_text().strip() == child
    with pytest.raises(LabError, match="runs already"):
        host.start_daemon()


def left_over(lab: Lab) -> list[str]:
    links = [lab.plan.link] if Path("/sys/class/net", lab.plan.link).exists() else []
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(lab.plan.root).encode() in (process / "cmdline").read_bytes():
                processes.append(process.name)
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(lab.plan.root) in line]
    return links + processes + mounts + disks.attached(lab.plan.root)


RUNNER = """
import signal, sys
from pathlib import Path
from tests.lab.test_lab import lone_plan
from tests.lab.lab import Lab
with Lab(lone_plan(Path(sys.argv[1]))) as lab:
    print(" ".join(map(str, lab.host(1).pids())), flush=True)
    signal.pause()
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds a lab of its own in `tmp_path`; its first line names the host's processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        Lab(lone_plan(tmp_path)).down()


def test_a_killed_test_run_leaves_nothing(runner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    pids = first_line(runner)
    runner.kill()
    other = Lab(lone_plan(tmp_path))
    assert until(lambda: not left_over(other)), left_over(other)
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_killed_supervisor_leaves_nothing(runner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    pids = first_line(runner)
    os.kill(int((tmp_path / "lock").read_text()), signal.SIGKILL)
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    runner.kill()
    other = Lab(lone_plan(tmp_path))
    assert until(lambda: not left_over(other)), left_over(other)


def first_line(runner: "subprocess.Popen[str]") -> list[int]:
    assert runner.stdout is not None
    pids = [int(pid) for pid in runner.stdout.readline().split()]
    assert len(pids) > 3
    return pids


def test_an_ended_lab_leaves_nothing_and_starts_again_with_its_state(tmp_path: Path) -> None:
    lab = Lab(lone_plan(tmp_path))
    with lab:
        lab.host(1).run("touch", "/var/lib/noded/kept")
        with pytest.raises(LabError, match="runs already"):
            Lab(lone_plan(tmp_path)).hold()
        with pytest.raises(LabError, match="another lab on this machine has noded-lone or"):
            Lab(lone_plan(tmp_path / "other")).hold()
        Lab(lone_plan(tmp_path / "other")).down()
        assert lab.running()
    assert left_over(lab) == []
    with pytest.raises(LabError, match="has 1 hosts"):
        Lab(lone_plan(tmp_path, hosts=2)).hold()
    with lab:
        assert lab.host(1).path("/var/lib/noded/kept").exists()
    assert left_over(lab) == []


def test_a_daemon_that_ends_early_is_named_with_its_last_words(tmp_path: Path) -> None:
    broken = Lab(lone_plan(tmp_path, daemon=("sh", "-c", "echo no luck; exit 3")))
    with pytest.raises(LabError, match=r"ended with status 3(.|\n)*no luck"), broken:
        pass
    assert left_over(broken) == []


def lab_command(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.lab", "--root", str(root), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands_reach_a_lab_that_another_process_started(tmp_path: Path) -> None:
    lab = Lab(lone_plan(tmp_path))
    with lab:
        assert "on (pid" in lab_command(tmp_path, "status").stdout
        assert lab_command(tmp_path, "exec", "1", "--", "hostname", "-s").stdout == "host1\n"
        assert lab_command(tmp_path, "kill", "1").returncode == 0
        assert "host1  10.177.9.1  off" in lab_command(tmp_path, "status").stdout
        refused = lab_command(tmp_path, "kill", "1")
        assert (refused.returncode, refused.stderr) == (1, "Error: host1 is off already\n")
        assert lab_command(tmp_path, "start", "1").returncode == 0
        lab.wait_ready()
        assert lab_command(tmp_path, "down").returncode == 0
    assert left_over(lab) == []
    assert "no lab runs in" in lab_command(tmp_path, "status").stderr
