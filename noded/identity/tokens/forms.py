"""What does a client send to sign in? (Identity API v3, "Authentication and token management".)"""

from typing import Annotated, Literal

import msgspec

Short = Annotated[str, msgspec.Meta(max_length=255)]


class DomainRef(msgspec.Struct, frozen=True):
    """A domain by id or by name."""

    id: Short | None = None
    name: Short | None = None


class UserProof(msgspec.Struct, frozen=True):
    """A user by id, or by name and domain, and their password."""

    password: Annotated[str, msgspec.Meta(max_length=4096)]
    id: Short | None = None
    name: Short | None = None
    domain: DomainRef | None = None

    def __repr__(self) -> str:
        return f"UserProof(id={self.id!r}, name={self.name!r})"  # never the password


class PasswordProof(msgspec.Struct, frozen=True):
    """The method `password`."""

    user: UserProof


class TokenProof(msgspec.Struct, frozen=True):
    """The method `token`: a token is made from another one."""

    id: Annotated[str, msgspec.Meta(max_length=12 * 1024)]

    def __repr__(self) -> str:
        return "TokenProof()"


class UserRef(msgspec.Struct, frozen=True):
    """A user by id, or by name and domain."""

    id: Short | None = None
    name: Short | None = None
    domain: DomainRef | None = None


class PasscodeUser(msgspec.Struct, frozen=True):
    """A user by id, or by name and domain, and what their authenticator shows."""

    passcode: Short
    id: Short | None = None
    name: Short | None = None
    domain: DomainRef | None = None

    def __repr__(self) -> str:
        return f"PasscodeUser(id={self.id!r}, name={self.name!r})"  # never the passcode


class PasscodeProof(msgspec.Struct, frozen=True):
    """The method `totp`."""

    user: PasscodeUser


class ApplicationProof(msgspec.Struct, frozen=True):
    """The method `application_credential`: by id, or by name and user; and its secret."""

    secret: Annotated[str, msgspec.Meta(max_length=4096)]
    id: Short | None = None
    name: Short | None = None
    user: UserRef | None = None

    def __repr__(self) -> str:
        return f"ApplicationProof(id={self.id!r}, name={self.name!r})"  # never the secret


class Identity(msgspec.Struct, frozen=True):
    """Who signs in, and how."""

    methods: Annotated[tuple[Short, ...], msgspec.Meta(min_length=1, max_length=8)]
    password: PasswordProof | None = None
    token: TokenProof | None = None
    application_credential: ApplicationProof | None = None
    totp: PasscodeProof | None = None


class ProjectRef(msgspec.Struct, frozen=True):
    """A project by id, or by name and domain."""

    id: Short | None = None
    name: Short | None = None
    domain: DomainRef | None = None


class TrustRef(msgspec.Struct, frozen=True):
    """A trust."""

    id: Short | None = None


class SystemRef(msgspec.Struct, frozen=True):
    """The whole system."""

    all: bool = False


class ScopeForm(msgspec.Struct, frozen=True):
    """What the token shall hold for: exactly one of these."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: SystemRef | None = None
    unscoped: dict[str, object] | None = None
    trust: TrustRef | None = msgspec.field(default=None, name="OS-TRUST:trust")


class Auth(msgspec.Struct, frozen=True):
    """The request's one object."""

    identity: Identity
    scope: ScopeForm | Literal["unscoped"] | None = None


class AuthBody(msgspec.Struct, frozen=True):
    """The whole body."""

    auth: Auth
