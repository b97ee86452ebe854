"""How does somebody say that it wants to use a volume: a connector, a mode? Checked; pure."""

from typing import Final

from noded.core.errors import Invalid
from storage.inputs import TEXT_CHARS_MAX

CONNECTOR_ENTRIES_MAX: Final = 64

Connector = dict[str, object]


def is_read_only(mode: str) -> bool:
    """Whether the mode of an attachment is `ro`; raises `Invalid` if it is no mode."""
    if mode not in ("rw", "ro"):
        raise Invalid(f"Invalid request to attach volume with an invalid mode. It is 'rw' or 'ro', not {mode[:64]}.")
    return mode == "ro"


def checked_connector(connector: Connector) -> dict[str, str]:
    """A connector's entries as text; those that say nothing are left out."""
    if len(connector) > CONNECTOR_ENTRIES_MAX:
        raise Invalid(f"A connector has at most {CONNECTOR_ENTRIES_MAX} entries, not {len(connector)}.")
    plain = {key: value if isinstance(value, str) else str(value) for key, value in sorted(connector.items()) if value}
    for key, value in plain.items():
        if not 0 < len(key) <= TEXT_CHARS_MAX or len(value) > TEXT_CHARS_MAX:
            raise Invalid(f"An entry of a connector has at most {TEXT_CHARS_MAX} characters: {key[:64]}.")
    return plain
