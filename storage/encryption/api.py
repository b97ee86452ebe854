"""What the routes that tell of a volume's encryption do (Cinder v3, "Volumes": show volume encryption)."""

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from storage.lookup import named_volume


def _words(request: Request) -> dict[str, object]:
    encryption = named_volume(request).encryption
    if encryption is None:
        return {"encryption_key_id": None}
    return {
        "encryption_key_id": encryption.key_id,
        "control_location": "front-end",
        "cipher": encryption.cipher,
        "key_size": encryption.key_bits,
        "provider": "luks",
    }


async def show_encryption(request: Request) -> Response:
    """How the volume is encrypted."""
    return Response(body=_words(request))


async def show_encryption_item(request: Request) -> Response:
    """One property of that."""
    words, key = _words(request), request.params["key"]
    if key not in words:
        raise NotFound(f"The encryption of the volume has no property {key[:255]}.")
    return Response(body={key: words[key]})


_ENCRYPTION = "/v3/volumes/{volume_id}/encryption"

ROUTES = (
    Route(verb="GET", path=_ENCRYPTION, handler=show_encryption, allow=Allow.READER),
    Route(verb="GET", path=_ENCRYPTION + "/{key}", handler=show_encryption_item, allow=Allow.READER),
)
