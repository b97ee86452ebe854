"""Everything that identity's handlers and the gateway ask of this process, in one place for the daemon to add."""

from noded.core.reconciler import Drivers
from noded.gateway.authenticate import Recognizer
from noded.identity.failures import FailureCounter
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.oidc import OidcChecker
from noded.identity.links import Passwords, SignInFailures
from noded.identity.oidc.links import OidcTokens
from noded.identity.tokens.recognize import TokenRecognizer
from noded.identity.tokens.seal import TokenBook


def add_identity_drivers(drivers: Drivers, passwords: Passwords | None = None) -> None:
    """Add them. `passwords`: others than the real ones, for tests."""
    book = TokenBook()
    drivers.add(TokenBook, book)
    drivers.add(Recognizer, TokenRecognizer(book))
    drivers.add(Passwords, passwords or Argon2Passwords())
    drivers.add(SignInFailures, FailureCounter())
    drivers.add(OidcTokens, OidcChecker())
