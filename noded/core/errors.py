"""What can be answered with no. A refusal names the thing, the reason and the way out; HTTP's numbers live elsewhere.

A `Refused` is a deterministic no: raised in a handler or in `Command.apply`, it changes nothing.
"""

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of no. `gateway/faults.py` gives each its HTTP status and each API its words."""

    INVALID = "invalid"  # the request can't be understood or breaks a rule of the API
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"  # a microversion that is not served
    CONFLICT = "conflict"  # the resource's state forbids it now
    PRECONDITION = "precondition"  # the request asked for another state of the thing than it has
    TOO_LARGE = "too_large"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_MANY = "too_many"  # requests of one user in a time; the message says when to come again
    OVER_QUOTA = "over_quota"
    NO_ROOM = "no_room"  # no node can take it; the message says why, per node
    RANGE = "range"  # a byte range outside the content
    UNAVAILABLE = "unavailable"  # no majority, or the node that must act can't be reached
    BUG = "bug"  # an unexpected exception: logged with the request id


class Refused(Exception):  # noqa: N818  # the word of the house: a command is refused
    """A no with its reason. `code` is a finer name that some APIs print, such as Neutron's `IpAddressInUse`."""

    kind: Kind = Kind.INVALID

    def __init__(self, message: str, *, code: str = "", kind: Kind | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        if kind is not None:
            self.kind = kind


class Invalid(Refused):
    """The request itself is wrong; sending it again unchanged can't help."""

    kind = Kind.INVALID


class Unauthenticated(Refused):
    """The caller is not known. The message never says which part was wrong."""

    kind = Kind.UNAUTHENTICATED


class Forbidden(Refused):
    """The caller is known and may not."""

    kind = Kind.FORBIDDEN


class NotFound(Refused):
    """Nothing of that name is there for this caller."""

    kind = Kind.NOT_FOUND

    @classmethod
    def of(cls, noun: str, name: object, *, code: str = "") -> "NotFound":
        """The usual sentence, with the name cut to a length that fits a log line."""
        return cls(f"No {noun} with id or name {str(name)[:255]} was found.", code=code)


class Conflict(Refused):
    """The thing is there but its state forbids the request now."""

    kind = Kind.CONFLICT


class OverQuota(Refused):
    """The project's limit would be passed."""

    kind = Kind.OVER_QUOTA


class NoRoom(Refused):
    """No node can take it; the message says why, per node."""

    kind = Kind.NO_ROOM


class TooLarge(Refused):
    """The body or the thing is larger than the limit, which the message names."""

    kind = Kind.TOO_LARGE


class TooMany(Refused):
    """The caller asks faster than is served to one; `retry_after_s` says when to come again."""

    kind = Kind.TOO_MANY

    def __init__(self, message: str, *, code: str = "", kind: Kind | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code, kind=kind)
        self.retry_after_s = retry_after_s


class Unavailable(Refused):
    """It can't be done now, and may work later: no majority, or a node that can't be reached."""

    kind = Kind.UNAVAILABLE


class OutcomeUnknown(Unavailable):
    """A change was proposed and its outcome is not known: it may or may not have been applied."""


_CLASSES: dict[Kind, type[Refused]] = {
    each.kind: each
    for each in (
        Invalid, Unauthenticated, Forbidden, NotFound, Conflict, OverQuota, NoRoom, TooLarge, TooMany, Unavailable,
    )
}  # fmt: skip


def refusal(kind: Kind, message: str, code: str = "") -> Refused:
    """A refusal that came through the log or from another node, as the class that was raised there."""
    return _CLASSES.get(kind, Refused)(message, code=code, kind=kind)
