"""How lives of the cluster are shown by noded's own API."""

from consensus.recovery.model import Life
from noded.core.times import zulu


def life_view(life: Life) -> dict[str, object]:
    """One life's JSON."""
    taken = life.backup_taken_at_ms
    return {
        "id": life.id,
        "number": life.count,
        "beginning": life.beginning.value,
        "began_at": zulu(life.began_at_ms),
        "node": life.node_id,
        "revision": life.revision,
        "backup_taken_at": None if taken is None else zulu(taken),
        "left_behind": list(life.left_behind),
    }
