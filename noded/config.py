"""What a node must know before it can join: its file, and nothing else. All other settings are replicated records."""

import socket
import tomllib
from pathlib import Path

import msgspec

from consensus.members.model import NodeRole
from noded.core.secrecy import HIDDEN

CONFIG_FILE = Path("/etc/noded/noded.toml")


class ConfigFault(Exception):  # noqa: N818
    """The file can't be read or says something that can't be; the message names the key."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/etc/noded/noded.toml`. Every key has a default: an empty file is a node that waits to be claimed."""

    name: str = ""  # what people call the node; default: the host's name
    role: NodeRole = NodeRole.MEMBER  # "witness": a small machine that only votes, without servers or data
    cluster: str = ""  # hands-off door: the cluster's name, alike on all nodes
    secret: str = ""  # hands-off door: alike on all nodes; at least 16 characters
    expect: int = 0  # hands-off door: how many nodes must agree before one founds the cluster; goes with `cluster`
    address: str = ""  # the node's own address; default: the address of `interface`
    interface: str = ""  # the network to the other nodes; default: the one with the default route
    disks: tuple[str, ...] = ()  # directories, each the root of an empty file system given to the pool
    https_port: int = 443
    state_dir: str = "/var/lib/noded"
    run_dir: str = "/run/noded"
    log_dir: str = "/var/log/noded"
    libvirt_uri: str = "qemu:///system"
    guest_memory_mib: int = 0  # how much memory guests may use; 0: all but a reserve for the host and noded

    def __repr__(self) -> str:
        """Without the secret: a trace or a log may show it."""
        fields = {**msgspec.structs.asdict(self), "secret": HIDDEN if self.secret else ""}
        return f"Config({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    @property
    def state(self) -> Path:
        """Where identity, log and records live; on stable storage."""
        return Path(self.state_dir)

    @property
    def run(self) -> Path:
        """Where sockets live; gone after a reboot."""
        return Path(self.run_dir)

    @property
    def logs(self) -> Path:
        """Where the processes beside the daemon write their logs."""
        return Path(self.log_dir)

    @property
    def node_name(self) -> str:
        """What people call this node."""
        return self.name or socket.gethostname().split(".")[0]


def read_config(path: Path, *, must_exist: bool = False) -> Config:
    """The node's configuration. A missing file is an empty one, unless it `must_exist`. Raises `ConfigFault`."""
    try:
        text = path.read_text()
    except FileNotFoundError as fault:
        if must_exist:
            raise ConfigFault(f"{path} is not there; without --config {CONFIG_FILE} is read") from fault
        return Config()
    except OSError as fault:
        raise ConfigFault(f"{path} can't be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigFault(f"{path} is not UTF-8: {fault}") from fault
    try:
        read = tomllib.loads(text)
        config = msgspec.convert(read, Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise ConfigFault(f"{path}: {fault}") from fault
    if bool(config.cluster) != bool(config.secret):
        raise ConfigFault(f"{path}: `cluster` and `secret` go together: give both or neither")
    if config.secret and len(config.secret) < 16:
        raise ConfigFault(f"{path}: `secret` has {len(config.secret)} characters; at least 16 are needed")
    if config.cluster and "expect" not in read:  # by any default, machines alike would found clusters side by side
        raise ConfigFault(
            f"{path}: `expect` goes with `cluster`: how many machines must agree before one of them founds it, more"
            " than half of all that get this file; 1 if this one is to found it alone"
        )
    if config.expect < 1 and "expect" in read:
        raise ConfigFault(f"{path}: `expect` is {config.expect}; it counts nodes, this one included")
    return config
