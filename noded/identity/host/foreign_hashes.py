"""Does a password fit a hash that another Keystone made? bcrypt, bcrypt-sha256, scrypt and PBKDF2, in passlib's forms.

They come with users that were imported, and are replaced by our own at the next sign-in. A hash says its own cost; one
that would cost much more than Keystone ever asks for is not computed.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

import bcrypt

BCRYPT_ROUNDS_MAX: Final = 16
BCRYPT_BYTES: Final = 72  # what of a password bcrypt looks at
SCRYPT_BYTES_MAX: Final = 128 * 1024 * 1024
PBKDF2_ROUNDS_MAX: Final = 1_000_000
_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_BCRYPT_SHA256: Final = re.compile(
    r"\$bcrypt-sha256\$(?:v=2,t=(2[aby]),r=(\d{1,2})|(2[aby]),(\d{1,2}))\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})"
)
_SCRYPT: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([./A-Za-z0-9+]{1,128})\$([./A-Za-z0-9+]+)"
)
_PBKDF2: Final = re.compile(r"\$pbkdf2-sha512\$(\d{1,8})\$([./A-Za-z0-9]{1,256})\$([./A-Za-z0-9]{1,256})")


def is_foreign(password_hash: str) -> bool:
    """Whether it is a hash of a kind that is understood here and was not made here."""
    return any(form.fullmatch(password_hash) is not None for form, _ in _KINDS)


def fits(password_hash: str, password: str) -> bool:
    """Whether the password is the hashed one; also no, if the hash is none or too dear."""
    for form, check in _KINDS:
        found = form.fullmatch(password_hash)
        if found is not None:
            return check(found, password.encode())
    return False


def _by_bcrypt(found: re.Match[str], password: bytes) -> bool:
    if int(found[1]) > BCRYPT_ROUNDS_MAX or b"\0" in password:
        return False
    return bcrypt.checkpw(password[:BCRYPT_BYTES], found[0].encode())


def _by_bcrypt_sha256(found: re.Match[str], password: bytes) -> bool:
    newer, rounds, salt = found[1] is not None, int(found[2] or found[4]), found[5]
    if rounds > BCRYPT_ROUNDS_MAX:
        return False
    digest = hmac.digest(salt.encode(), password, "sha256") if newer else hashlib.sha256(password).digest()
    whole = f"${found[1] or found[3]}${rounds:02d}${salt}{found[6]}"
    return bcrypt.checkpw(base64.b64encode(digest), whole.encode())


def _by_scrypt(found: re.Match[str], password: bytes) -> bool:
    cost, block, parallel = 1 << min(int(found[1]), 40), int(found[2]), int(found[3])
    if block * parallel < 1 or cost < 2 or 128 * block * (cost + parallel) > SCRYPT_BYTES_MAX or parallel > 8:
        return False
    salt, wanted = _decoded(found[4]), _decoded(found[5])
    if not wanted:
        return False
    memory = SCRYPT_BYTES_MAX + 1024 * 1024
    made = hashlib.scrypt(password, salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=len(wanted))
    return hmac.compare_digest(made, wanted)


def _by_pbkdf2(found: re.Match[str], password: bytes) -> bool:
    rounds, wanted = int(found[1]), _decoded(found[3])
    if not 1 <= rounds <= PBKDF2_ROUNDS_MAX or not wanted:
        return False
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha512", password, _decoded(found[2]), rounds, len(wanted)), wanted)


def _decoded(text: str) -> bytes:
    """Base64 as passlib writes it: `.` for `+`, nothing at the end."""
    try:
        return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], bytes], bool]], ...]] = (
    (_BCRYPT, _by_bcrypt),
    (_BCRYPT_SHA256, _by_bcrypt_sha256),
    (_SCRYPT, _by_scrypt),
    (_PBKDF2, _by_pbkdf2),
)
