"""From which address does a request come? Also where the dashboard asks on behalf of the browser that asked it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

# Pages ask the APIs within the process; nothing but the task that runs ties those requests to the browser's.
_answered: Final[ContextVar[str]] = ContextVar("answered_client", default="")


def client_of(scope: Mapping[str, Any]) -> str:
    """The address of a request's sender; empty if the server does not know it."""
    address: str = (scope.get("client") or ("",))[0]
    return address.removeprefix("::ffff:")


def answered_client() -> str:
    """Whose request this task answers; empty outside of one."""
    return _answered.get()


@contextmanager
def answering(client: str) -> Iterator[None]:
    """Inside the block, and in the tasks that it starts, that client's request is answered."""
    before = _answered.set(client)
    try:
        yield
    finally:
        _answered.reset(before)
