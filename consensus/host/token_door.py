"""How does a node join by a token? It dials the addresses in it, proves the secret, and checks whom it has found."""

from typing import Final

from consensus.admission import Admitted, Turned
from consensus.authority import authority_hashes
from consensus.door import DoorClosed, token_key
from consensus.doors.token import Token, secret_hash
from consensus.host.door import knock
from consensus.host.newcomer import Newcomer
from consensus.host.preflight import PortTaken
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Forbidden, Refused
from noded.core.times import zulu

DOOR: Final = "token"


async def join_by_token(newcomer: Newcomer, token: Token) -> str:
    """Become a member of the token's cluster; its name. Raises `Refused` with the reason of each address tried."""
    try:
        return await _try_all(newcomer, token)
    except Refused as refused:
        newcomer.fault(DOOR, f"token {token.token_id}", refused.message)
        raise


async def _try_all(newcomer: Newcomer, token: Token) -> str:
    key = token_key(token.token_id, secret_hash(token.secret), token.cluster_id)
    faults: list[str] = []
    for address in token.addresses:
        try:
            async with knock(key, newcomer.identity, [address], port=token.port) as session:
                answer = await newcomer.ask(session, secret=token.secret)
        except (DoorClosed, OSError) as error:
            faults.append(f"{address}: {_why(error)}")
            continue
        except PortTaken as fault:
            raise Conflict(f"{fault}.") from fault
        if isinstance(answer, Turned):
            raise Forbidden(f"The cluster says no: {answer.reason}")
        if not isinstance(answer, Admitted):
            faults.append(f"{address}: it does not answer a request for admission")
            continue
        _expect_right_cluster(answer, token)
        newcomer.take(answer, session.peer)
        return answer.cluster_name
    expired = f" The token expired at {zulu(token.expires_at_ms)}." if now_ms() > token.expires_at_ms else ""
    raise Conflict(f"No member let this node in. {'; '.join(faults) or 'The token holds no address'}.{expired}")


def _why(error: Exception) -> str:
    if isinstance(error, DoorClosed):
        return (
            f"{error}. If that machine is a member of the right cluster, the token was deleted there; if not, the"
            " address belongs to somebody else now"
        )
    return str(error) or type(error).__name__


def _expect_right_cluster(answer: Admitted, token: Token) -> None:
    if answer.cluster_id != token.cluster_id:
        raise Forbidden("The member that answered belongs to another cluster than the token.")
    if token.authority_hash not in authority_hashes(answer.authority_pem):
        raise Forbidden(
            "The cluster's authority is not the one in the token: it was rotated since, or this is not that cluster."
            " Ask for a new token."
        )
