"""Does a request ask for one revision of its resource? (Networking API, "Revision Number": `revision_number=4`.)"""

import re
from typing import Final

from noded.core.errors import Invalid
from noded.core.route import Request

_REVISION: Final = re.compile(r"revision_number=([0-9]{1,18})", re.ASCII)


def expected_revision(request: Request) -> int | None:
    """The revision at which the resource must be for the request to be carried out; None: at any. Raises `Invalid`."""
    asked = request.headers.get("if-match")
    if asked is None:
        return None
    found = _REVISION.fullmatch(asked.strip())
    if found is None:
        raise Invalid("An If-Match here is written revision_number=N, with the revision_number that was read.")
    return int(found[1])
