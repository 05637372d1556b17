"""No test reaches beyond this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_an_address_beyond_loopback_is_refused_before_anything_is_sent() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="192.0.2.1"):
        client.connect(("192.0.2.1", 80))


def test_loopback_and_unix_sockets_are_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
