"""Which nodes are about, as far as their announcements say? Values only; `host/mdns.py` hears and speaks them.

An announcement proves nothing: whoever is on the network can make one. It says where to knock. Who is really there,
the door or a certificate tells. It does not tell either that a node has died: that is the cluster's own affair.
"""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

import msgspec

from noded.core.ids import NodeId

SIGHTINGS_MAX: Final = 1000
ANNOUNCED_ADDRESSES_MAX: Final = 4  # a TXT string has at most 255 bytes
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"


class NodeState(StrEnum):
    """What a node says of itself."""

    UNCLAIMED = "unclaimed"
    MEMBER = "member"


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as it announces itself. Addresses are soft: the newest announcement counts."""

    node_id: NodeId
    fingerprint: str  # SHA-256 of its public key, 64 hex digits; the id is its first half
    state: NodeState
    cluster: str  # the name of its cluster, or of the one that its seed is for; "" if none
    addresses: tuple[str, ...]
    port: int  # of its door
    release: str
    cluster_id: str = ""  # tells two clusters of one name apart; "" while it belongs to none
    name: str = ""  # what people call the node; two may bear the same one

    @property
    def words(self) -> str:
        """The key in three words, for people who compare two screens."""
        return short_words(self.fingerprint)


def short_words(fingerprint: str, count: int = 3) -> str:
    """The first 16 bits a word of a hash (hex) as pronounceable words (proquints, arXiv:0901.4016)."""
    return "-".join(_proquint(int(fingerprint[start : start + 4], 16)) for start in range(0, 4 * count, 4))


def _proquint(bits: int) -> str:
    shifts = ((12, _CONSONANTS), (10, _VOWELS), (6, _CONSONANTS), (4, _VOWELS), (0, _CONSONANTS))
    return "".join(letters[(bits >> shift) % len(letters)] for shift, letters in shifts)


def sighting_to_text(sighting: Sighting) -> dict[str, str]:
    """The TXT record of an announcement.

    The addresses are in it too, though mDNS has records for them: those change one by one and old ones linger for a
    while, whereas a TXT record is replaced whole.
    """
    return {
        "at": ",".join(sighting.addresses[:ANNOUNCED_ADDRESSES_MAX]),
        "id": sighting.node_id,
        "fp": sighting.fingerprint,
        "release": sighting.release,
        "state": sighting.state.value,
        "cluster": sighting.cluster,
        "cid": sighting.cluster_id,
        "name": sighting.name,
    }


def sighting_from_text(text: Mapping[str, str], port: int) -> Sighting | None:
    """The sighting that an announcement makes, or None if it is not one of a node (or lies about its own id)."""
    node_id, fingerprint = text.get("id", ""), text.get("fp", "")
    well_formed = len(fingerprint) == 64 and set(fingerprint) <= set("0123456789abcdef")
    addresses = _addresses(text.get("at", ""))
    if not well_formed or node_id != fingerprint[:32] or not addresses:
        return None
    try:
        state = NodeState(text.get("state", ""))
    except ValueError:
        return None
    return Sighting(
        node_id=NodeId(node_id),
        fingerprint=fingerprint,
        state=state,
        cluster=text.get("cluster", "")[:64],
        addresses=addresses,
        port=port,
        release=text.get("release", "")[:32],
        cluster_id=text.get("cid", "")[:32],
        name=text.get("name", "")[:64],
    )


def _addresses(text: str) -> tuple[str, ...]:
    """Those that can be dialed from elsewhere: a link-local one means nothing without the interface of its host."""
    try:
        found = [ip_address(part) for part in text.split(",")[:ANNOUNCED_ADDRESSES_MAX] if part]
    except ValueError:
        return ()
    return tuple(str(ip) for ip in found if not (ip.is_link_local or ip.is_multicast or ip.is_unspecified))
