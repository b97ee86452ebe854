"""What a credential is: a secret text of a user, of some type.

The text must be given back, so it can't be hashed; histories, differences and logs never show it. Encrypting it in the
store would add nothing: the key would have to lie beside it.
"""

import hashlib
from typing import ClassVar, Final

import msgspec

from noded.core.record import Record
from noded.core.route import Delegation, DelegationKind
from noded.identity.model import Extra

EC2: Final = "ec2"


class Credential(Record, frozen=True, kw_only=True, tag="credential.1"):
    """One secret. Of type `ec2` the blob is an object with `access` and `secret`, and the id follows from `access`."""

    INDEXED: ClassVar[tuple[str, ...]] = ("user_id", "project_id")
    NOUN: ClassVar[str] = "credential"

    id: str
    user_id: str
    type: str
    blob: str
    project_id: str | None = None
    extra: Extra = msgspec.field(default_factory=dict)


class Ec2Blob(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in the blob of an EC2 credential; the last three say through what it was made, and so what it opens."""

    access: str
    secret: str = ""
    trust_id: str | None = None
    app_cred_id: str | None = None
    access_token_id: str | None = None

    def __repr__(self) -> str:
        return f"Ec2Blob(access={self.access!r})"  # never the secret


def made_through(blob: Ec2Blob, delegation: Delegation) -> Ec2Blob:
    """The same, bound to the delegation that the caller acts through: it opens no more than that."""
    return Ec2Blob(
        access=blob.access,
        secret=blob.secret,
        trust_id=delegation.id if delegation.kind is DelegationKind.TRUST else None,
        app_cred_id=delegation.id if delegation.kind is DelegationKind.APPLICATION_CREDENTIAL else None,
        access_token_id=delegation.id if delegation.kind is DelegationKind.ACCESS_TOKEN else None,
    )


def ec2_id(access: str) -> str:
    """The id of the EC2 credential with that access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def ec2_blob(credential: Credential) -> Ec2Blob | None:
    """What is in it; None if it is not one of EC2."""
    if credential.type.lower() != EC2:
        return None
    return msgspec.json.decode(credential.blob, type=Ec2Blob)
