"""A stand-in for the daemon in the tests of the lab itself: serves /healthz over TLS, and leaves a detached child."""

import datetime
import http.server
import ipaddress
import ssl
import subprocess
import tomllib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TLS = Path("/var/lib/noded/tls")
CHILD = Path("/run/stand-in-child.pid")


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def make_certificate(name: str, address: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    TLS.mkdir(parents=True, exist_ok=True)
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (TLS / "node.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (TLS / "ca.crt").write_bytes(certificate.public_bytes(pem))


def main() -> None:
    config = tomllib.loads(Path("/etc/noded/noded.toml").read_text())
    make_certificate(config["name"], config["address"])
    if not CHILD.exists():
        child = subprocess.Popen(["sleep", "infinity"], start_new_session=True)
        CHILD.write_text(f"{child.pid}\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "ca.crt", TLS / "node.key")
    server = http.server.ThreadingHTTPServer((config["address"], 443), Health)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
