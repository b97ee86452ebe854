"""How changes are shown to a watcher: as JSON, or as server-sent events (HTML Living Standard, section 9.2)."""

import msgspec

from noded.core.watch import Watched


def changes_view(watched: Watched) -> dict[str, object]:
    """One answer; `revision` is what to ask with next."""
    return {
        "revision": watched.revision,
        "list_again": watched.list_again,
        "changes": [
            {"kind": change.kind, "id": change.id, "revision": change.revision, "gone": change.gone}
            for change in watched.changes
        ],
    }


def changes_event(watched: Watched) -> bytes:
    """One event: `changed`, or `list_again` for a watcher that fell behind. Its id is what to ask with next."""
    name = "list_again" if watched.list_again else "changed"
    data = msgspec.json.encode(changes_view(watched)).decode()
    return f"id: {watched.revision}\nevent: {name}\ndata: {data}\n\n".encode()
