"""What an HTTP request is to a handler, and what a handler answers. Numbers and headers of HTTP live in the gateway."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Protocol, TypeVar

from noded.core.cluster import Cluster
from noded.core.errors import NotFound
from noded.core.ids import DomainId, ProjectId, RequestId, UserId
from noded.core.record import Record
from noded.core.units import MIB

T = TypeVar("T")
R = TypeVar("R", bound=Record)
D = TypeVar("D")


class Allow(StrEnum):
    """Who may use a route. Checked in one place, `gateway/authenticate.py`, before the handler runs."""

    ANYONE = "anyone"  # no token: version documents, health, signing in
    ANY_TOKEN = "any_token"  # noqa: S105  # any valid token, also unscoped
    READER = "reader"  # reader, member, manager or admin on the token's project
    MEMBER = "member"
    MANAGER = "manager"
    ADMIN = "admin"  # the admin role: the cloud's administrator
    # Keystone's own, which is also used with tokens of a domain or of the system:
    OVERSEER = "overseer"  # administrators, and readers of the whole system
    DOMAIN_READER = "domain_reader"  # also readers of a domain; the handler shows them that domain alone
    DOMAIN_MANAGER = "domain_manager"  # administrators, and managers of a domain within that domain


class Done(Enum):
    """How a success is told. The gateway gives each its HTTP status."""

    OK = auto()
    CREATED = auto()
    ACCEPTED = auto()
    EMPTY = auto()  # done, no body
    CHOICES = auto()  # a list of API versions
    INCOMPLETE = auto()  # a sign-in for which more must be given
    PARTIAL = auto()  # a byte range
    SEE_OTHER = auto()  # the dashboard's redirect after a form


class DelegationKind(StrEnum):
    """Through what somebody else's, or a narrowed, right was given to a token."""

    TRUST = "trust"
    APPLICATION_CREDENTIAL = "application_credential"
    ACCESS_TOKEN = "access_token"  # noqa: S105  # OAuth's word


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One verb on one path of one service, by its catalogue type: what a narrowed token may do."""

    service: str
    verb: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Through what a token was made. `unrestricted`: it may make further delegations. `rules` None: no access rules."""

    kind: DelegationKind
    id: str
    unrestricted: bool = False
    rules: tuple[AccessRule, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the token's user, and its scope."""

    user_id: UserId
    user_name: str
    user_domain_id: DomainId
    project_id: ProjectId | None  # None: an unscoped token
    project_name: str | None
    roles: frozenset[str]  # names, implied ones included
    domain_id: DomainId | None = None  # a token of a whole domain
    is_system: bool = False  # a token of the whole system
    delegation: Delegation | None = None  # None: a token of who signed in for themselves
    group_ids: tuple[str, ...] = ()  # groups in which the caller is as long as the token lasts

    @property
    def is_admin(self) -> bool:
        """Whether the caller administers the cloud."""
        return "admin" in self.roles

    @property
    def oversees(self) -> bool:
        """Whether the caller may look at everything: administrators, and readers of the whole system."""
        return self.is_admin or (self.is_system and "reader" in self.roles)

    @property
    def project(self) -> ProjectId:
        """The project that the token is scoped to; routes that allow READER or more always have one."""
        assert self.project_id is not None, "the route allows unscoped tokens"
        return self.project_id


class Request(Protocol):
    """One request as a handler sees it: already authenticated, allowed, and within its limits."""

    @property
    def verb(self) -> str: ...
    @property
    def path(self) -> str:
        """The whole path as the client sent it, without the query."""

    @property
    def params(self) -> Mapping[str, str]:
        """The path's variables."""

    @property
    def query(self) -> Mapping[str, str]:
        """The query's last value by name."""

    def query_all(self, name: str) -> list[str]:
        """Every value that the query gives `name`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""

    @property
    def base_url(self) -> str:
        """`https://host[:port]` as the client addressed this node: every link and catalogue entry starts with it."""

    @property
    def caller(self) -> Caller:
        """Who asks; on ANYONE routes it must not be read."""

    @property
    def request_id(self) -> RequestId: ...
    @property
    def microversion(self) -> tuple[int, int]:
        """The negotiated microversion, such as (2, 1); (0, 0) where the API has none."""

    @property
    def cluster(self) -> Cluster: ...
    def driver(self, protocol: type[D]) -> D:
        """This machine's driver for `protocol`."""

    async def json(self, form: type[T]) -> T:
        """The body decoded as `form`; raises `Invalid` that names the field, and `TooLarge`."""

    async def form(self) -> Mapping[str, str]:
        """The body of an HTML form."""

    def stream(self) -> AsyncIterator[bytes]:
        """The raw body, piece by piece."""


@dataclass(slots=True, kw_only=True)
class Response:
    """What a handler answers. `body` is encoded as JSON; `content` is sent as it is."""

    body: object = None
    content: bytes | AsyncIterator[bytes] | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    done: Done | None = None  # None: the route's own


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of a service's route table. `path` is below its endpoint's prefix: `/servers/{server_id}`."""

    verb: str
    path: str
    handler: Handler
    allow: Allow
    done: Done = Done.OK
    since: tuple[int, int] = (0, 0)  # the microversion from which on the route is there
    body_max: int = 1 * MIB  # bytes; streamed bodies name their own limit
    action: str = ""  # what policy calls it, where it is not the handler's name
    # A record, by the variable of the path that names it, of which everyone with a token is told whether it is there:
    # some of Keystone's routes look for it before they ask who may.
    sought: tuple[type[Record], str] | None = None

    @property
    def name(self) -> str:
        """How `noded routes` and the policy test call it: the handler's module and name."""
        return f"{self.handler.__module__}:{getattr(self.handler, '__name__', 'handler')}"


def owned(caller: Caller, record: R | None, owner: ProjectId | None, id: str) -> R:
    """`record` if the caller's project owns it or the caller is admin; otherwise the same `NotFound` as for nothing."""
    if record is None or (owner != caller.project_id and not caller.is_admin):
        raise NotFound.of("such resource" if record is None else record.NOUN, id)
    return record
