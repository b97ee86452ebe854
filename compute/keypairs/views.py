"""How a keypair looks in the API, at each microversion."""

import zlib

from compute.keypairs.model import Keypair
from noded.core.times import naive_micro

TYPE_SINCE = (2, 2)


def keypair_brief(keypair: Keypair, version: tuple[int, int]) -> dict[str, object]:
    """One entry of the list."""
    body: dict[str, object] = {
        "name": keypair.name,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    }
    return body | ({"type": keypair.type} if version >= TYPE_SINCE else {})


def keypair_created(keypair: Keypair, private_key: str | None, version: tuple[int, int]) -> dict[str, object]:
    """What the creation answers: the only time that a generated private key is seen."""
    body = keypair_brief(keypair, version) | {"user_id": keypair.user_id}
    return body | ({} if private_key is None else {"private_key": private_key})


def keypair_detail(keypair: Keypair, version: tuple[int, int]) -> dict[str, object]:
    """One keypair by itself. Clients expect a number as its id; any that stays the same will do."""
    return keypair_brief(keypair, version) | {
        "id": zlib.crc32(keypair.id.encode()),
        "user_id": keypair.user_id,
        "created_at": naive_micro(keypair.created_ms),
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    }
