"""One PostgreSQL for all tests of this folder, one schema per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgres_server import Server, new_schema, shared_server
from vin_batch.export.postgres_connection import Destination
from vin_batch.export.postgres_schema import init


@pytest.fixture
def server() -> Server:
    """The server."""
    return shared_server()


@pytest.fixture
def schema(server: Server) -> Iterator[str]:
    """The name of a schema that does not exist yet."""
    with new_schema(server) as name:
        yield name


@pytest.fixture
def register(server: Server, schema: str) -> Destination:
    """A schema with empty tables."""
    destination = Destination(server.dsn, schema)
    init(destination)
    return destination
