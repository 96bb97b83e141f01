"""A load over TLS: the certificate is checked, and nobody is spoken to in the clear.

The server of the tests has no TLS, so a relay in front of it speaks it: what a client sees is
that of a server with the relay's certificate.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from finished_run import reading
from loader_runs import run_of
from postgres_server import Server
from vin_batch.export.load import LoadOptions
from vin_batch.export.postgres import export_postgres
from vin_batch.export.postgres_connection import DatabaseError, Destination

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
SECRET = "only over TLS"


def certificate(folder: Path, name: str, host: str) -> tuple[Path, Path]:
    """A certificate that signed itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, signed = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
         "-keyout", str(key), "-out", str(signed)],
        check=True, capture_output=True,
    )  # fmt: skip
    return signed, key


@dataclass
class Relay:
    """Listens on a port of its own and passes on to a server what comes over TLS.

    Attributes:
        port: Where.
        in_the_clear: First words of those who did not ask for TLS.
    """

    port: int = 0
    in_the_clear: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def relay(server: Server, files: tuple[Path, Path]) -> Iterator[Relay]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    seen = Relay()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen.port = listener.getsockname()[1]
        threading.Thread(target=_listen, args=(listener, context, server, seen)).start()
        try:
            yield seen
        finally:
            # Closing alone would leave the other thread in accept().
            listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, context: ssl.SSLContext, server: Server, seen: Relay) -> None:
    with contextlib.suppress(OSError):
        while True:
            client = listener.accept()[0]
            threading.Thread(
                target=_serve, args=(client, context, server, seen), daemon=True
            ).start()


def _serve(client: socket.socket, context: ssl.SSLContext, server: Server, seen: Relay) -> None:
    with client, contextlib.suppress(OSError):
        first = client.recv(8)
        if first != SSL_REQUEST:
            seen.in_the_clear.append(first)
            return
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", server.port or 0)) as plain,
        ):
            threading.Thread(target=_pass_on, args=(plain, secure), daemon=True).start()
            _pass_on(secure, plain)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def clerk(server: Server) -> Iterator[str]:
    if server.port is None:
        pytest.skip("needs a server of our own")
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE tls_clerk LOGIN SUPERUSER PASSWORD '{SECRET}'")
    yield "tls_clerk"
    with server.connect() as connection:
        # A session that the relay has just left may still own its temporary tables.
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE usename = 'tls_clerk'"
        )
        connection.execute("DROP ROLE tls_clerk")


def test_the_certificate_is_checked(
    tmp_path: Path, server: Server, register: Destination, clerk: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PGPASSWORD", SECRET)
    run = run_of(tmp_path / "run", [[reading("a")]])
    ours = certificate(tmp_path, "ours", "localhost")
    others = certificate(tmp_path, "others", "localhost")
    once = LoadOptions(attempts=1)
    with relay(server, ours) as seen:

        def to(host: str, authority: Path) -> Destination:
            address = f"postgresql://{clerk}@{host}:{seen.port}/postgres"
            return Destination(
                f"{address}?sslmode=verify-full&sslrootcert={authority}&hostaddr=127.0.0.1",
                register.schema,
            )

        with pytest.raises(DatabaseError, match="certificate"):
            export_postgres(run.root, to("localhost", others[0]), once)
        with pytest.raises(DatabaseError, match="certificate"):
            export_postgres(run.root, to("register.example", ours[0]), once)
        assert export_postgres(run.root, to("localhost", ours[0]), once).cards == 1
    assert seen.in_the_clear == []
