"""All nodes of a cloud lose power at once under load and are switched on in any order: does it come back by itself?

    python -m tests.faults.cold_start --times 20

Whole daemons on simulated hosts; projects are created through the API of every host until the power goes. Each time,
what was answered must be there, on every host, and the first write must be answered soon after a majority was
switched on. Nobody helps: hosts are switched on, and that is all.
"""

import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import httpx

from tests.acceptance.clients import Person, administrator, until
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan
from tests.lab.whole import wait_whole

SUBNET, LINK = "10.78.3", "noded-cold"
WRITERS_A_HOST = 2
WRITES_MIN = 40
LOAD_S = (1.0, 4.0)
APART_S = (0.0, 3.0)
BACK_S_MAX = 10.0  # from the moment in which a majority of the daemons was started
PATIENCE_S = 180.0


class Writers:
    """Create projects through every host, all the time, and remember which were answered."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._token = _token(person)
        self._ended = threading.Event()
        self._acknowledged: dict[str, float] = {}
        self._lock = threading.Lock()
        self._number = 0

    @property
    def acknowledged(self) -> dict[str, float]:
        """The names of the projects that exist for certain, and when that was said."""
        with self._lock:
            return dict(self._acknowledged)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._write, args=(host,))
            for host in self._person.lab.hosts
            for _ in range(WRITERS_A_HOST)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _write(self, host: LabHost) -> None:
        while not self._ended.is_set():
            with self._lock:
                self._number += 1
                name = f"p{self._number}"
            try:
                with _client(self._person, host, self._token) as client:
                    while not self._ended.is_set() and self._create(client, name):
                        with self._lock:
                            self._acknowledged[name] = time.monotonic()
                            self._number += 1
                            name = f"p{self._number}"
            except httpx.HTTPError:
                self._ended.wait(0.1)  # off, or starting

    def _create(self, client: httpx.Client, name: str) -> bool:
        answer = client.post("/identity/v3/projects", json={"project": {"name": name, "domain_id": "default"}})
        if not answer.is_success:
            self._ended.wait(0.1)
        return answer.is_success


def _token(person: Person) -> str:
    connection = person.connect()
    return str(connection.authorize())


def _client(person: Person, host: LabHost, token: str) -> httpx.Client:
    return httpx.Client(base_url=host.url, verify=person.tls(), headers={"X-Auth-Token": token}, timeout=5.0)


def projects(person: Person, host: LabHost, token: str) -> set[str]:
    """The names of all projects, as one host tells them, page by page."""
    names: set[str] = set()
    following: str | None = "/identity/v3/projects"
    with _client(person, host, token) as client:
        client.timeout = httpx.Timeout(60.0)
        while following is not None:
            page = client.get(following).raise_for_status().json()
            names.update(project["name"] for project in page["projects"])
            following = page["links"]["next"]
    return names


def round_of(lab: Lab, writers: Writers, dice: random.Random) -> tuple[float, int]:
    """One power cut and one cold start: seconds from a majority's start to the first write, and how many were lost."""
    before = len(writers.acknowledged)
    until(lambda: len(writers.acknowledged) >= before + WRITES_MIN, f"{WRITES_MIN} more projects", PATIENCE_S)
    time.sleep(dice.uniform(*LOAD_S))
    lab.kill_all(lose_unsynced=True)
    promised = writers.acknowledged
    majority_at = None
    for number, host in enumerate(dice.sample(lab.hosts, len(lab.hosts)), start=1):
        host.start()
        if number == len(lab.hosts) // 2 + 1:
            majority_at = time.monotonic()
        time.sleep(dice.uniform(*APART_S))
    assert majority_at is not None
    until(lambda: len(writers.acknowledged) > len(promised), "a write is answered", PATIENCE_S)
    first = min(at for name, at in writers.acknowledged.items() if name not in promised)
    lab.wait_ready(PATIENCE_S)
    lost = [promised.keys() - projects(writers._person, host, writers._token) for host in lab.hosts]
    return first - majority_at, len(set().union(*lost))


def cold_starts(root: Path, times: int, seed: int, say: Callable[[str], None]) -> bool:
    """All rounds; whether every one kept what was promised, in time."""
    dice = random.Random(seed)
    back: list[float] = []
    lost = 0
    with Lab(Plan(root=root, subnet=SUBNET, link=LINK)) as lab:
        wait_whole(lab)
        writers = Writers(administrator(lab))
        with writers.at_work():
            for number in range(1, times + 1):
                seconds, missing = round_of(lab, writers, dice)
                back.append(seconds)
                lost += missing
                say(f"{number}/{times}: first write {seconds:.1f} s after a majority was on, {missing} lost")
        say(
            f"{times} cold starts of {len(lab.hosts)} hosts, {len(writers.acknowledged):,} writes acknowledged,"
            f" {lost} lost;"
            f" first write after a majority was on: median {statistics.median(back):.1f} s, longest {max(back):.1f} s"
        )
    return not lost and max(back) <= BACK_S_MAX


@click.command()
@click.option("--times", default=20, show_default=True, help="how often the power goes")
@click.option("--seed", default=1, show_default=True, help="draws the order and the times")
def main(times: int, seed: int) -> None:
    """Cut the power of a whole cloud again and again. Exit status 1: something was lost, or it took too long."""
    with tempfile.TemporaryDirectory(prefix="cold-start-") as root:
        sys.exit(0 if cold_starts(Path(root), times, seed, click.echo) else 1)


if __name__ == "__main__":
    main()
