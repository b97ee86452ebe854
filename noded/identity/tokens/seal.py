"""What is in a token, and how is it sealed? Fernet (github.com/fernet/spec) round a compact msgpack array.

A token says who, for what, until when; what that is worth is looked up each time it is shown (`standing.py`). So
nothing has to be stored for a token, every node can read every token, and a changed role counts at once.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from noded.core.errors import Unauthenticated, Unavailable
from noded.core.ids import Revision
from noded.core.route import DelegationKind
from noded.core.store import View
from noded.identity.model import Scope, TokenKey
from noded.identity.standing import Standing

METHODS: Final = ("password", "totp", "token", "application_credential", "oauth1")
OPENED_KEPT: Final = 4096  # opened tokens that are remembered, so that a client's token is decrypted once
_NO: Final = "The request you have made requires authentication."


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    user_id: str
    password_generation: int
    scope: Scope
    target_id: str
    methods: tuple[str, ...]
    issued_ms: int
    expires_ms: int
    audit_ids: tuple[str, ...]  # its own, then that of the first token of the chain it was made from
    through: DelegationKind | None = None  # it was made through a delegation, and is worth what that one says
    through_id: str = ""
    provider_id: str = ""  # an identity provider vouched for the user
    protocol: str = ""
    group_ids: tuple[str, ...] = ()  # and said that they are in these groups


class Receipt(msgspec.Struct, frozen=True, array_like=True, tag="receipt"):
    """What somebody proved who has more to prove. Never taken for a token, nor a token for it."""

    user_id: str
    password_generation: int
    methods: tuple[str, ...]
    expires_ms: int


class TokenBook:
    """Seals and opens tokens with the cluster's keys, and remembers what it opened."""

    def __init__(self) -> None:
        self._opened: OrderedDict[bytes, tuple[Token, str]] = OrderedDict()
        self._fernets: dict[str, Fernet] = {}
        self.worths: dict[str, tuple[Revision, Standing]] = {}  # by audit id, and when; `recognize.py` keeps it
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Token)

    def seal(self, view: View, token: Token) -> str:
        """The token as the client carries it."""
        return self._sealed(view, token)

    def seal_receipt(self, view: View, receipt: Receipt) -> str:
        """The receipt as the client carries it."""
        return self._sealed(view, receipt)

    def open_receipt(self, view: View, text: str, now_ms: int) -> Receipt:
        """What the receipt says. Raises `Unauthenticated` for one that is none, or has expired."""
        for key in _newest_first(view):
            try:
                content = self._fernet(key).decrypt(text.encode(errors="replace"))
                receipt = msgspec.msgpack.decode(content, type=Receipt)
            except (InvalidToken, msgspec.ValidationError):
                continue
            if receipt.expires_ms > now_ms:
                return receipt
        raise Unauthenticated(_NO)

    def _sealed(self, view: View, content: Token | Receipt) -> str:
        keys = _newest_first(view)
        if not keys:
            raise Unavailable("This node has no token keys yet: it has not caught up with the cluster.")
        # The newest is staged: a node that lags may not have it yet.
        key = keys[1] if len(keys) > 1 else keys[0]
        return self._fernet(key).encrypt(self._encoder.encode(content)).decode()

    def open(self, view: View, text: str, now_ms: int) -> Token:
        """What the token says. Raises `Unauthenticated` for one that is forged, foreign, expired or of an old key."""
        digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
        known = self._opened.get(digest)
        if known is not None and view.get(TokenKey, known[1]) is not None:
            self._opened.move_to_end(digest)
            token = known[0]
        else:
            token, key_id = self._decrypt(view, text)
            self._opened[digest] = (token, key_id)
            if len(self._opened) > OPENED_KEPT:
                self._opened.popitem(last=False)
        if token.expires_ms <= now_ms:
            raise Unauthenticated(_NO)
        return token

    def _decrypt(self, view: View, text: str) -> tuple[Token, str]:
        for key in _newest_first(view):
            try:
                return self._decoder.decode(self._fernet(key).decrypt(text.encode(errors="replace"))), key.id
            except (InvalidToken, msgspec.ValidationError):
                continue  # sealed with another key or with none of ours, or no token but a receipt
        raise Unauthenticated(_NO)

    def _fernet(self, key: TokenKey) -> Fernet:
        fernet = self._fernets.get(key.id)
        if fernet is None:
            fernet = self._fernets[key.id] = Fernet(key.secret)
        return fernet


def _newest_first(view: View) -> list[TokenKey]:
    return sorted(view.all(TokenKey), key=lambda key: -key.number)
