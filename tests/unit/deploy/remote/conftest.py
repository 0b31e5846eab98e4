"""Servers to push to: one start of each kind serves all tests of this folder."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("asyncssh")

from ssh_server import SSHD, AsyncsshServer, OpensshServer, make_bundle, tar_of

from erpose_edge.deploy.remote.push import push_release
from erpose_edge.deploy.remote.results import PushOptions

KINDS = {"openssh": OpensshServer, "asyncssh": AsyncsshServer}


def started(kind, tmp_path_factory):
    if kind == "openssh" and not SSHD.exists():
        pytest.skip(f"{SSHD} is not installed")
    return KINDS[kind](tmp_path_factory.mktemp("ssh") / kind)


@pytest.fixture(scope="session", params=KINDS)
def any_server(request, tmp_path_factory):
    """Each kind of server in turn."""
    server = started(request.param, tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The better server that is installed: the system's own sshd."""
    server = started("openssh" if SSHD.exists() else "asyncssh", tmp_path_factory)
    yield server
    server.stop()


class Pusher:
    """Makes bundles and pushes them to one folder of a server; keeps what was reported."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.root = folder / "board"
        self.events = []

    def bundle(self, number=0, **plan):
        return make_bundle(self.folder / f"bundle-{number}", number, **plan)

    def push(self, bundle, options=None, **host):
        to = self.server.host(self.root, **host)
        tar = tar_of(bundle.folder)
        return asyncio.run(
            push_release(to, tar, bundle, options or PushOptions(), self.events.append)
        )

    @property
    def current(self):
        return (self.root / "current").resolve().name

    @property
    def releases(self):
        return {path.name for path in (self.root / "releases").iterdir()}


@pytest.fixture
def pusher(server, tmp_path):
    return Pusher(server, tmp_path)


@pytest.fixture
def any_pusher(any_server, tmp_path):
    return Pusher(any_server, tmp_path)
