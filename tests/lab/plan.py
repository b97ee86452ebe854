"""What a lab is made of: its hosts, their names, addresses, directories. Decides; touches nothing but its own note."""

import dataclasses
import json
import sys
import uuid
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Where `make run` and the commands keep their lab, and what they write for clients.
ROOT = PROJECT / ".lab"
CLOUDS_FILE = PROJECT / "clouds.yaml"
KEY_FILE = "id_ed25519"  # below a lab's root: opens its guests
HOSTS_MAX = 9
SYSTEM_BYTES = 2 << 30
DISK_BYTES = 4 << 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostPlan:
    """One simulated host, numbered from 1."""

    number: int
    subnet: str
    directory: Path
    place: int = 0  # the last part of its address; 0: its number
    witness: bool = False

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def address(self) -> str:
        return f"{self.subnet}.{self.place or self.number}"

    @property
    def mac(self) -> str:
        # Fixed: a new address at each boot would leave the peers with a stale ARP entry for a minute.
        return f"52:54:00:4e:00:{self.number:02x}"

    @property
    def port(self) -> str:
        """The host's end of the cable at the switch."""
        return f"port{self.number}"

    @property
    def uuid(self) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"noded-lab:{self.subnet}:{self.name}")

    @property
    def system_image(self) -> Path:
        return self.directory / "system.img"

    @property
    def disk_image(self) -> Path:
        return self.directory / "d1.img"

    @property
    def logs(self) -> Path:
        return self.directory / "log"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole lab. Two labs may run side by side if root, subnet and link differ."""

    root: Path
    hosts_count: int = 3
    subnet: str = "10.77.0"
    link: str = "noded0"
    expect: int = 0  # how many hosts found the cluster; 0: all
    witnesses: tuple[int, ...] = ()  # hosts that only vote
    soft_addresses: bool = False  # hosts are not told their addresses: those are as with DHCP, and may change
    daemon: tuple[str, ...] = (str(Path(sys.prefix) / "bin" / "noded"), "daemon")

    @property
    def hosts(self) -> tuple[HostPlan, ...]:
        return tuple(
            HostPlan(
                number=number,
                subnet=self.subnet,
                directory=self.root / "hosts" / str(number),
                witness=number in self.witnesses,
            )
            for number in range(1, self.hosts_count + 1)
        )

    @property
    def machine_address(self) -> str:
        """Where the machine itself stands on the hosts' underlay."""
        return f"{self.subnet}.254"

    @property
    def note(self) -> Path:
        return self.root / "lab.json"

    def save(self) -> None:
        fields = dataclasses.asdict(self) | {"root": str(self.root)}
        self.note.write_text(json.dumps(fields, indent=1) + "\n")


def load(root: Path) -> Plan | None:
    """The plan that a lab in `root` was made by, or None where there is none."""
    note = root / "lab.json"
    if not note.exists():
        return None
    fields = json.loads(note.read_text())
    fields.setdefault("witnesses", [])  # a lab of before there were any
    tuples = {key: tuple(fields[key]) for key in ("daemon", "witnesses")}
    return Plan(**fields | {"root": root} | tuples)
