"""What does the page of an unclaimed node say? Text in, HTML out: no script, nothing from elsewhere."""

from html import escape

from consensus.discovery import short_words
from consensus.entering import EntryStatus, Offered
from noded.core.times import zulu

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}"
    "section{border:1px solid #8886;border-radius:8px;padding:.2rem 1rem 1rem;margin:1rem 0}"
    "input,button{font:inherit;padding:.3rem .6rem}code,.words{font:1.2em ui-monospace,monospace}"
    ".notice{border-left:4px solid #c60;padding-left:.8rem}label{display:block;margin:.5rem 0}"
)


def claim_page(status: EntryStatus, notice: str = "") -> str:
    """The one page."""
    addresses, key = escape(", ".join(status.addresses)), short_words(status.fingerprint)
    about = (
        f"<p>Node <code>{status.node_id}</code>, release {escape(status.release)}, at {addresses}. Its key is"
        f" <span class=words>{key}</span>; <code>noded claim</code> on its console shows the same.</p>"
    )
    body = [
        f"<h1>{escape(status.name)} belongs to no cluster yet</h1>",
        f'<p class="notice" role="status">{escape(notice)}</p>' if notice else "",
        about,
    ]
    if status.seed_cluster:
        body.append(
            f"<section><h2>Waiting for cluster {escape(status.seed_cluster)}</h2><p>Its configuration names a cluster"
            f" and a secret, and expects {status.expect} nodes. It sees {status.sees}, itself included.</p></section>"
        )
    else:
        body += [_create(), *(_offer(offer) for offer in status.offers), _others()]
    body.append(_faults(status))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"{escape(status.name)} - noded</title>"
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def created_page(cluster: str, url: str, password: str) -> str:
    """What is shown once, when the cluster is made."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>noded</title>'
        f"<style>{_STYLE}</style></head><body><h1>Cluster {escape(cluster)} is being made</h1>"
        f"<p>In a few seconds its dashboard is at <a href='{escape(url)}'>{escape(url)}</a>. The browser will warn once"
        " more: from then on the node shows a certificate of the new cluster's own authority.</p>"
        f"<p>Sign in as <code>admin</code> with the password <code>{escape(password)}</code>. It also stands in"
        " <code>/var/lib/noded/admin-password</code> on this node.</p></body></html>"
    )


def _code_field() -> str:
    return (
        "<label>Claim code (from this node's console)"
        " <input name=claim_code required autocomplete=off spellcheck=false></label>"
    )


def _create() -> str:
    return (
        "<section><h2>Create a new cluster</h2><form method=post action=/create>"
        "<label>Name of the cluster <input name=cluster required maxlength=64 value=cloud></label>"
        f"{_code_field()}<button>Create</button></form></section>"
    )


def _offer(offer: Offered) -> str:
    state = "A member has approved it. " if offer.approved else ""
    misfit = f'<p class="notice">In the way: {escape(offer.misfit)}.</p>' if offer.misfit else ""
    if offer.agreed:
        what = (
            "<p>You said yes here; now approve the node on the cluster's dashboard.</p>" if not offer.approved else ""
        )
    else:
        what = (
            "<form method=post action=/agree>"
            f'<input type=hidden name=words value="{escape(offer.words)}">{_code_field()}'
            "<button>Yes, the words are the same there</button></form>"
        )
    return (
        f"<section><h2>Join cluster {escape(offer.cluster_name)}</h2><p>Its member at {escape(offer.address)} must show"
        f" these words for this node: <b class=words>{escape(offer.words)}</b> (cluster"
        f" <code>{escape(offer.cluster_id[:12])}</code>). {state}</p>{misfit}{what}</section>"
    )


def _others() -> str:
    return (
        "<section><h2>Join a cluster in one step</h2><p>On a member's dashboard, under Nodes, type this node's claim"
        " code; or run <code>noded join -</code> here with a token from <code>noded token create</code>.</p></section>"
    )


def _faults(status: EntryStatus) -> str:
    if not status.faults:
        return ""
    lines = "".join(
        f"<li>{zulu(fault.at_ms)}, {escape(fault.door)} door, {escape(fault.by)}: {escape(fault.reason)}</li>"
        for fault in status.faults
    )
    return f"<section><h2>Why it is not in yet</h2><ul>{lines}</ul></section>"
