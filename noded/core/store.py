"""How commands, views and plans read and write the replicated state. `consensus/store.py` implements it."""

from typing import Protocol, TypeVar

from noded.core.ids import Revision
from noded.core.record import Record

R = TypeVar("R", bound=Record)


class View(Protocol):
    """A consistent picture of the whole store at one revision. Keeping one costs nothing; it never changes."""

    @property
    def revision(self) -> Revision:
        """The log index up to which this picture is complete."""

    def get(self, kind: type[R], id: str) -> R | None:
        """The record of that id, or None."""

    def need(self, kind: type[R], id: str) -> R:
        """The record of that id; raises `NotFound` with the record's noun."""

    def all(self, kind: type[R]) -> list[R]:
        """Every record of the kind, ordered by id (so that equal logs give equal results everywhere)."""

    def count(self, kind: type[R]) -> int:
        """How many records of the kind there are."""

    def find(self, kind: type[R], field: str, value: object) -> list[R]:
        """The records whose indexed `field` is (or, for a tuple field, holds) `value`, ordered by id."""


class Transaction(View, Protocol):
    """A view that one log entry changes. What is put is seen by later reads of the same entry."""

    def put(self, record: Record) -> None:
        """Insert or replace the record of that id."""

    def delete(self, kind: type[R], id: str) -> None:
        """Remove the record; it must be there."""
