"""What a service is: everything that the rest of the house learns of a folder comes from its `SERVICE`."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.departure import DepartureHook
from noded.core.finding import Finding
from noded.core.ids import ProjectId
from noded.core.metric import Metric
from noded.core.reconciler import Drivers, Reconciler
from noded.core.record import Record
from noded.core.route import Route
from noded.core.store import View


class FaultStyle(Enum):
    """Whose form an endpoint's errors take."""

    KEYSTONE = auto()  # {"error": {"code", "message", "title"}}
    NOVA = auto()  # {"itemNotFound": {"code", "message"}}; Cinder's too
    NEUTRON = auto()  # {"NeutronError": {"type", "message", "detail"}}
    GLANCE = auto()  # {"message", "code", "title"}
    NODED = auto()  # our own API: {"error": {"what", "request_id"}}
    HTML = auto()  # the dashboard: a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Microversions:
    """The range that an API negotiates: header word (`compute`), legacy header, lowest and highest."""

    word: str
    legacy_header: str | None
    lowest: tuple[int, int]
    highest: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One API: a catalogue entry and the prefix of its routes. Several services may share one."""

    name: str  # "nova"
    types: tuple[str, ...]  # catalogue types, the official one first: ("compute",)
    prefix: str  # routes live below it: "/compute/v2.1"
    fault_style: FaultStyle
    catalog_path: str | None = None  # None: the prefix; "/volume/v3/{project_id}" is filled in per token
    in_catalog: bool = True
    # Below this path the caller's project may stand before every route: `/v3/{project_id}/volumes` is `/v3/volumes`.
    project_after: str | None = None
    # An empty last segment is an empty name, which nothing has; else a trailing slash makes no difference.
    strict_slash: bool = False
    microversions: Microversions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerContext:
    """What a peer call's handler may use."""

    cluster: Cluster
    drivers: Drivers


PeerHandler = Callable[[PeerContext, bytes], Awaitable[bytes]]
# Answers `noded explain NOUN ID` on any node: JSON-able sections such as desired, observed, steps; raises `NotFound`.
Explainer = Callable[[PeerContext, str], Awaitable[dict[str, object]]]
# What `noded doctor` asks: what in the records contradicts itself or does not go on; pure.
RecordsExaminer = Callable[[View], Iterable[Finding]]
# And of each node: what on its own machine no record names, or is missing there. Reads only. The view is fresh, and
# was taken after the machine was looked at where something could come to be in between.
MachineExaminer = Callable[[PeerContext], Awaitable[list[Finding]]]
Measure = Callable[[PeerContext], Awaitable[list[Metric]]]  # what a node measures of itself, for its `/metrics`
ReconcilerFactory = Callable[[Cluster, Drivers], Reconciler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What a service may use to say what a new cluster starts with. Drawn once, by the founder, before the log."""

    now_ms: int
    new_uuid: Callable[[], str]
    new_hex_id: Callable[[], str]
    admin_project_id: ProjectId
    admin_password_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One folder's whole offer. Registered by one line in `noded/services.py`."""

    name: str  # the folder, dotted: "compute.servers"
    endpoint: Endpoint | None = None
    records: tuple[type[Record], ...] = ()
    commands: tuple[type[Command], ...] = ()
    routes: tuple[Route, ...] = ()
    reconcilers: tuple[ReconcilerFactory, ...] = ()
    peer_calls: dict[str, PeerHandler] = field(default_factory=dict)
    # What only root on this host may ask, through the daemon's own socket: never served to other nodes. What these
    # handlers propose is said to come from this node's console.
    local_calls: dict[str, PeerHandler] = field(default_factory=dict)
    # Of both, what a node answers as soon as its log runs, before it knows the cluster's state: it may wait for long.
    early_calls: frozenset[str] = frozenset()
    explain: dict[str, Explainer] = field(default_factory=dict)
    examines_records: tuple[RecordsExaminer, ...] = ()
    examines_machine: tuple[MachineExaminer, ...] = ()
    measures: tuple[Measure, ...] = ()
    founding: Callable[[Founding], list[Command]] | None = None
    departure: DepartureHook | None = None  # what hangs on a node, and what settles it when the node goes
