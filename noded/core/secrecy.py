"""What must nobody read who may read what was done? Which fields of commands and records are secret, in one place.

History, differences, explanations and reprs show them as `<hidden>`. A house test holds this list complete: a field
that looks secret by its name or type is named here, as secret or as harmless. A line is never changed once it was
released: what is hidden is part of the history's chain, which must be the same on nodes of two releases.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, cast

import msgspec

HIDDEN: Final = "<hidden>"

# By tag, the paths of its secret fields. A path goes through nested structs and tuples of them.
SECRET: Final[Mapping[str, tuple[str, ...]]] = {
    "application_credential.1": ("secret_hash",),
    "application_credential.create.1": ("secret_hash",),
    "authority.rotate.1": ("key_pem",),
    "authority_rotation.1": ("new_key_pem",),
    "backup_target.1": ("access_key", "secret_key", "seal_key"),
    "backup_target.add.1": ("target.access_key", "target.secret_key", "target.seal_key"),
    "cluster_authority.1": ("key_pem",),
    "credential.1": ("blob",),
    "credential.create.1": ("blob",),
    "credential.update.1": ("blob",),
    "domain_config.1": ("secret_options",),
    "domain_config.set.1": ("secret_options",),
    "image_task.1": ("url",),  # a signature may be in it
    "image.task.start.1": ("url",),
    "join_token.1": ("secret_hash",),  # it is what members know a token by at their doors
    "join_token.create.1": ("secret_hash",),
    "members.found.1": ("authority_key_pem",),
    "oauth_access.1": ("secret",),
    "oauth_access.create.1": ("secret", "verifier"),
    "oauth_consumer.1": ("secret",),
    "oauth_consumer.create.1": ("secret",),
    "oauth_request.1": ("secret", "verifier"),
    "oauth_request.authorize.1": ("verifier",),
    "oauth_request.create.1": ("secret",),
    "oidc_settings.1": ("client_secret",),
    "oidc_settings.set.1": ("settings.client_secret",),
    "own_certificate.1": ("key_pem",),
    "own_certificate.install.1": ("key_pem",),
    "server.1": ("user_data",),
    "server.create.1": ("form.user_data",),
    "token_key.1": ("secret",),
    "token_key.add.1": ("secret",),
    "user.1": ("password_hash", "past_hashes"),
    "vault.1": ("envelopes",),
    "vault.create.1": ("envelopes",),
    "vault.share.1": ("envelopes",),
    "vault_secret.1": ("sealed",),
    "volume.create.1": ("secret.sealed",),
    "volume_transfer.1": ("key_hash", "salt"),
    "volume_transfer.accept.1": ("key_hash",),
    "volume_transfer.create.1": ("key_hash", "salt"),
    "user.create.1": ("password_hash",),
    "user.set_password.1": ("password_hash",),
    "user.rehash.1": ("password_hash",),
}

# What only looks secret, and why it is not.
HARMLESS: Final[Mapping[str, tuple[str, ...]]] = {
    "authority.rotate.1": ("certificate_pem",),  # certificates are public
    "authority_rotation.1": ("other_pem",),
    "cluster_authority.1": ("certificate_pem",),
    "members.found.1": ("authority_certificate_pem",),
    "application_credential.create.1": ("credential_id",),  # a name
    "application_credential.delete.1": ("credential_id",),
    "credential.create.1": ("credential_id",),  # a name
    "credential.update.1": ("credential_id",),
    "credential.delete.1": ("credential_id",),
    "join_token.create.1": ("token_id",),  # a name
    "join_token.revoke.1": ("token_id",),
    "join_token.use.1": ("token_id",),
    "keypair.1": ("public_key",),  # the public half
    "own_certificate.1": ("chain_pem",),  # certificates are public
    "own_certificate.install.1": ("chain_pem",),
    "keypair.create.1": ("public_key",),
    "oidc_settings.1": ("ca_pem",),  # certificates are public
    "oidc_settings.set.1": ("settings.ca_pem",),
    "policy.1": ("blob",),  # a text that every reader of policies may read
    "policy.create.1": ("blob",),
    "policy.update.1": ("blob",),
    "server.1": ("key_name", "public_key"),
    "server.create.1": ("form.key_name", "form.public_key"),
    "token_key.add.1": ("key_id",),  # a name
    "sign_in_rules.1": (  # what is asked of everyone's password
        "unique_last_passwords",
        "password_expires_days",
        "password_age_min_days",
        "password_pattern",
        "password_pattern_words",
        "change_first_password",
        "hash_memory_kib",
        "hash_passes",
    ),
    "sign_in_rules.set.1": (
        "rules.unique_last_passwords",
        "rules.password_expires_days",
        "rules.password_age_min_days",
        "rules.password_pattern",
        "rules.password_pattern_words",
        "rules.change_first_password",
        "rules.hash_memory_kib",
        "rules.hash_passes",
    ),
    "user.1": ("password_generation", "password_set_ms", "password_expires_ms"),  # how often it changed, and when
    "vault.announce.1": ("public_key",),  # the public half
    "vault_member.1": ("public_key",),
    "volume.1": ("encryption.key_id", "encryption.key_bits"),  # which key, not the key
    "volume.create.1": ("secret", "encryption.key_id", "encryption.key_bits"),
    "volume_type.1": ("encryption.key_bits",),  # how long keys are
    "volume_type.set_encryption.1": ("encryption.key_bits",),
    "user.set_password.1": ("known_generation",),
}

_LOOKS_SECRET: Final = re.compile(
    r"passw|secret|token|hash|key|blob|seed|salt|pem\b|_pem|private|credential|user_data|cookie|code\b|nonce|sealed"
)


def looks_secret(field: str, *, is_bytes: bool) -> bool:
    """Whether a field of that name, or of raw bytes, must be declared here."""
    return is_bytes or _LOOKS_SECRET.search(field) is not None


@cache
def secret_paths(tag: str) -> tuple[tuple[str, ...], ...]:
    """The paths of the secret fields of commands or records with that tag, each as its steps."""
    return tuple(tuple(path.split(".")) for path in SECRET.get(tag, ()))


def mask(value: dict[str, Any], tag: str) -> dict[str, Any]:
    """Hide the secrets of a command or record in its plain form, in place. An empty one (None) stays visible."""
    for path in secret_paths(tag):
        _hide(value, path)
    return value


def _hide(value: object, path: tuple[str, ...]) -> None:
    if isinstance(value, list | tuple):
        for each in value:
            _hide(each, path)
    elif isinstance(value, dict):
        fields, (name, *rest) = cast("dict[str, Any]", value), path
        if fields.get(name) is None:
            return
        if rest:
            _hide(fields[name], tuple(rest))
        else:
            fields[name] = HIDDEN


def visible(value: msgspec.Struct) -> list[tuple[str, Any]]:
    """The fields of a command or record in plain form, its secrets hidden: what rich prints."""
    return list(mask(msgspec.to_builtins(value, builtin_types=(bytes,)), str(value.__struct_config__.tag)).items())[1:]


def shown(value: msgspec.Struct) -> str:
    """What `repr` says of a command or record."""
    return f"{type(value).__name__}({', '.join(f'{name}={field!r}' for name, field in visible(value))})"
