"""What is drawn by chance. Only handlers may roll: a command carries what was drawn, so every node applies the same."""

import secrets
import uuid


def new_uuid() -> str:
    """A random UUID with dashes, as Nova, Neutron, Cinder and Glance name their resources."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A random UUID as 32 hex digits, as Keystone names its resources."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """A request id in the form that every OpenStack client logs: `req-<uuid>`."""
    return f"req-{uuid.uuid4()}"


def new_mac() -> str:
    """A locally administered unicast MAC address with OpenStack's usual prefix `fa:16:3e`."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def new_password() -> str:
    """A password of 120 random bits that is easy to copy: letters and digits only."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "".join(secrets.choice(alphabet) for _ in range(21))


def new_secret() -> str:
    """A secret of 512 random bits for a program to keep."""
    return secrets.token_urlsafe(64)


def new_key() -> bytes:
    """A key of 256 random bits."""
    return secrets.token_bytes(32)


def new_fraction() -> float:
    """A number from 0 up to, but not including, 1: each as likely as any other."""
    return secrets.randbelow(1 << 53) / (1 << 53)
