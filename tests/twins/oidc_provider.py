"""A real OpenID Connect provider for the tests, as a process: `python -m tests.twins.oidc_provider --dir DIRECTORY`.

idpyoidc's (PyPI), with one client and one user, password grant, discovery and keys, by TLS on the loopback.
In DIRECTORY it writes `ca.crt`, and `url`, its issuer, which appears when it serves. SIGHUP gives it other keys. Flask
only carries the requests.
"""

import argparse
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptojwt.key_jar import build_keyjar
from flask import Flask, Response, request
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.exception import FailedAuthentication
from idpyoidc.server.token.jwt_token import JWTToken
from idpyoidc.server.user_authn.user import UserPass
from werkzeug.serving import make_server

from tests.twins.cloud import api_certificate

CLIENT_ID: Final = "noded"
CLIENT_SECRET: Final = "a secret that the client keeps to itself"
USER: Final = "ann"
PASSWORD: Final = "of ann at her employer's"
CLAIMS: Final = {"name": "Ann", "email": "ann@corp.test", "groups": ["crew", "cooks"]}
_KEYS: Final = [{"type": "EC", "crv": "P-256", "use": ["sig"]}, {"type": "RSA", "use": ["sig"]}]


class Database(dict[str, str]):
    """User names and passwords, made anew for each place that asks for them."""

    def __init__(self, **_: object) -> None:
        super().__init__({USER: PASSWORD})


class TokenWithClaims(JWTToken):  # type: ignore[misc]  # it ships no types
    """Access tokens that say who it is, as RFC 9068 asks for."""

    def load_custom_claims(self, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        return {**(payload or {}), "sub": USER, "aud": [CLIENT_ID], "client_id": CLIENT_ID, **CLAIMS}


def configuration(issuer: str, private: Path) -> dict[str, Any]:
    """All that this provider does."""
    oidc, oauth2 = "idpyoidc.server.oidc", "idpyoidc.server.oauth2"
    login = {
        "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:InternetProtocolPassword",
        "class": UserPass,
        "kwargs": {"db_conf": {"class": Database, "kwargs": {}}},
    }
    with_claims = {"class": "tests.twins.oidc_provider.TokenWithClaims", "kwargs": {"lifetime": 600}}
    handlers: dict[str, Any] = {"token": with_claims, "refresh": with_claims, "code": {"lifetime": 600}}
    handlers["jwks_def"] = {
        "private_path": str(private),
        "read_only": False,
        "key_defs": [{"type": "oct", "bytes": 24, "use": ["enc"], "kid": "code"}],
    }
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks",
        "key_conf": {"key_defs": _KEYS},
        "httpc_params": {"verify": False},
        "authentication": {"password": login},
        "token_handler_args": handlers,
        "endpoint": {
            "provider_info": {
                "path": ".well-known/openid-configuration",
                "class": f"{oidc}.provider_config.ProviderConfiguration",
                "kwargs": {},
            },
            "authorization": {"path": "authorization", "class": f"{oidc}.authorization.Authorization", "kwargs": {}},
            "token": {
                "path": "token",
                "class": f"{oauth2}.token.Token",
                "kwargs": {"client_authn_method": ["client_secret_post", "client_secret_basic"]},
            },
        },
    }


def provider(issuer: str, private: Path) -> Server:
    """The provider with its client."""
    config = configuration(issuer, private)
    server = Server(OPConfiguration(conf=config, base_path=str(private)), cwd=str(private))
    server.context.cdb[CLIENT_ID] = {
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [("https://127.0.0.1/back", {})],
        "client_salt": "salted",
        "token_endpoint_auth_method": "client_secret_basic",
        "response_types": ["code"],
        "allowed_scopes": ["openid", "profile", "email"],
        "grant_types_supported": ["password"],
    }
    server.keyjar.add_symmetric(CLIENT_ID, CLIENT_SECRET)
    return server


def answer(server: Server, name: str) -> Response:
    """One endpoint's answer to Flask's request."""
    endpoint = server.endpoint[name]
    headers = {key.lower(): value for key, value in request.headers.items()}
    http = {"headers": headers, "method": request.method, "url": request.url}
    asked: dict[str, Any] = request.values.to_dict()
    if name == "token" and request.authorization is not None:  # its password grant looks for the client in the body
        login = request.authorization
        asked |= {"client_id": login.username, "client_secret": login.password}
        server.context.session_manager.flush()  # it stumbles over a session that is there already
    parsed = endpoint.parse_request(asked, http_info=http)
    if isinstance(parsed, Mapping) and "error" in parsed:
        return Response(json.dumps(dict(parsed)), 400, content_type="application/json")
    try:
        processed = endpoint.process_request(parsed, http_info=http)
    except FailedAuthentication:
        return Response(json.dumps({"error": "invalid_grant"}), 400, content_type="application/json")
    told = endpoint.do_response(request=parsed, **processed) if "response" not in processed else processed
    body = told.get("response_args") or told.get("response") or processed
    text = body if isinstance(body, str) else json.dumps(body.to_dict() if hasattr(body, "to_dict") else dict(body))
    return Response(text, 400 if '"error"' in text else 200, content_type="application/json")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    directory: Path = parser.parse_args().dir
    context, _ = api_certificate(directory)
    app = Flask("provider")
    serving = make_server("127.0.0.1", 0, app, ssl_context=context, threaded=True)
    issuer = f"https://127.0.0.1:{serving.port}"
    server = provider(issuer, directory / "private.jwks")

    @app.get("/jwks")
    def keys() -> Response:
        return Response(server.keyjar.export_jwks_as_json(), content_type="application/json")

    for name, endpoint in server.endpoint.items():
        app.add_url_rule(
            f"/{endpoint.endpoint_path}", name, lambda name=name: answer(server, name), methods=["GET", "POST"]
        )

    def rotate(*_: object) -> None:
        for owner in ("", issuer):
            jwks = rotated.export_jwks(private=True)
            server.keyjar.load_keys(owner, jwks=jwks, replace=True)

    rotated = build_keyjar(_KEYS)
    signal.signal(signal.SIGHUP, rotate)
    (directory / "url").write_text(issuer)
    serving.serve_forever()


if __name__ == "__main__":
    main()
