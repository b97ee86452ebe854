"""How the operator's certificates are shown by noded's own API: never their keys."""

from consensus.own_certificates.model import OwnCertificate
from consensus.own_certificates.reading import facts_of
from noded.core.times import zulu


def certificate_view(own: OwnCertificate, node_name: str | None) -> dict[str, object]:
    """`node` None: every node shows it that has none for itself."""
    facts = facts_of(own.chain_pem)
    return {
        "place": own.id,
        "node": node_name,
        "names": list(facts.names),
        "issuer": facts.issuer,
        "chain": facts.chain,
        "not_after": zulu(int(facts.not_after.timestamp() * 1000)),
        "installed_at": zulu(own.installed_at_ms),
    }
