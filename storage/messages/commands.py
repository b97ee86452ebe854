"""How messages come, inside the change that they are about, and go."""

from typing import ClassVar

from noded.core.command import Command
from noded.core.ids import ProjectId
from noded.core.store import Transaction
from storage.messages.model import PROJECT_MESSAGES_MAX, Message


def tell(
    tx: Transaction,
    *,
    message_id: str,
    project_id: ProjectId,
    request_id: str,
    resource: tuple[str, str],
    event: str,
    text: str,
    now_ms: int,
) -> None:
    """Leave a message to the users of a project; `resource` is its type and its id."""
    others = tx.find(Message, "project_id", project_id)
    others.sort(key=lambda message: (message.created_at_ms, message.id))
    for oldest in others[: max(0, len(others) + 1 - PROJECT_MESSAGES_MAX)]:
        tx.delete(Message, oldest.id)
    tx.put(
        Message(
            id=message_id,
            project_id=project_id,
            request_id=request_id,
            resource_type=resource[0],
            resource_id=resource[1],
            event=event,
            text=text,
            created_at_ms=now_ms,
        )
    )


class DeleteMessage(Command, frozen=True, kw_only=True, tag="message.delete.1"):
    """The message was read."""

    TOLD: ClassVar[str] = "deleted the message {message_id}"

    FREES_ROOM: ClassVar[bool] = True

    message_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Message, self.message_id)
        tx.delete(Message, self.message_id)
