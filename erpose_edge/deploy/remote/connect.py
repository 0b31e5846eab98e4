"""Connect as OpenSSH would: its configuration, its keys, its list of known hosts.

A host key that is not in that list is refused with the command that adds it, and a changed one with
the command that removes the old one. Nothing is ever added here, and no configuration can turn the
check off. Passwords are not asked for.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import asyncssh

from erpose_edge.deploy.remote.hosts import HostOptions
from erpose_edge.errors import RequestError, TargetError

_CONNECT_S = 15.0
_KEEPALIVE_S = 5.0  # a dead link is found after four of them
_USER_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
_SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class _Client(asyncssh.SSHClient):
    """Remembers the key that was not trusted; asyncssh's error does not name it."""

    def __init__(self) -> None:
        self.refused: tuple[str, str, int, asyncssh.SSHKey] | None = None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.refused = (host, addr, port, key)
        return False


@asynccontextmanager
async def connected(host: HostOptions) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Connect, and close the connection at the end.

    Raises:
        RequestError: A file of keys or of ssh's configuration cannot be used.
        TargetError: The host cannot be reached, its key is not a known one, or it does not let
            this user in.
    """
    client = _Client()
    given = _given(host, client)
    options = await _options(host, given)
    # Given again rather than as `options`: connect() would lose what was set in these.
    known = _known_hosts(host, options)
    options.known_hosts = known
    try:
        connection = await asyncssh.connect(**given, known_hosts=known)
    except (asyncssh.Error, OSError, asyncio.TimeoutError) as error:
        raise _not_connected(error, host, options, client) from error
    async with connection:
        yield connection


def _given(host: HostOptions, client: _Client) -> dict[str, Any]:
    """Return the arguments of asyncssh's connect(), but for the known hosts."""
    if host.ssh_config is not None:
        configs = [host.ssh_config]
    else:
        both = (Path("~/.ssh/config").expanduser(), _SYSTEM_CONFIG)
        configs = [path for path in both if os.access(path, os.R_OK)]
    chosen = {
        "username": host.user,
        "port": host.port,
        "client_keys": None if host.identity is None else [str(host.identity)],
    }
    return {
        "host": host.host,
        "config": [str(path) for path in configs],
        "client_factory": lambda: client,
        "preferred_auth": "publickey",
        "password_auth": False,
        "kbdint_auth": False,
        "ignore_encrypted": True,  # a key with a passphrase is used through the agent
        "connect_timeout": _CONNECT_S,
        "login_timeout": _CONNECT_S,
        "keepalive_interval": _KEEPALIVE_S,
        **{name: value for name, value in chosen.items() if value is not None},
    }


async def _options(
    host: HostOptions, given: Mapping[str, Any]
) -> asyncssh.SSHClientConnectionOptions:
    """Return what the configuration makes of the arguments."""
    try:
        return await asyncssh.SSHClientConnectionOptions.construct(**given)
    except (asyncssh.KeyImportError, OSError) as error:
        raise RequestError(
            f"{host.label}: expected keys that can be read, got {error}; check --identity and "
            "IdentityFile in ~/.ssh/config"
        ) from error
    except asyncssh.ConfigParseError as error:
        raise RequestError(
            f"{host.label}: expected an ssh configuration, got {error}; mend that file"
        ) from error


def _known_hosts(host: HostOptions, options: asyncssh.SSHClientConnectionOptions) -> list[str]:
    """Return the files of known hosts that exist, as OpenSSH looks for them."""
    config = options.config
    user = cast("list[str] | None", config.get("UserKnownHostsFile"))
    system = cast("list[str] | None", config.get("GlobalKnownHostsFile"))
    if user == []:  # what asyncssh makes of `none`; it would then trust any host
        raise RequestError(
            f"{host.label}: expected a UserKnownHostsFile, got none; take this line out of the "
            "ssh configuration, as host keys are always checked"
        )
    files = [*(user or [str(_USER_KNOWN_HOSTS)]), *(system or [str(_SYSTEM_KNOWN_HOSTS)])]
    paths = [Path(file).expanduser() for file in files]
    found = [str(path) for path in paths if os.access(path, os.R_OK)]
    # The first is named in messages, and an empty list would mean asyncssh's own default.
    return found or [os.devnull]


def _not_connected(
    error: Exception,
    host: HostOptions,
    options: asyncssh.SSHClientConnectionOptions,
    client: _Client,
) -> TargetError:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _not_trusted(error, host, options, client)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return TargetError(
            f"{host.label}: expected a host key of a kind that known_hosts has, got {error}; add "
            f"the others with `{_scan(host.host, options.port, _first_file(options))}`"
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return TargetError(
            f"{host.label}: expected to be let in with a key, got {error}; try "
            f"`ssh {shlex.join(_ssh_arguments(host))}`; copy a key there with ssh-copy-id, and "
            "give one that has a passphrase to ssh-add"
        )
    reason = str(error) or type(error).__name__
    return TargetError(
        f"{host.label}: expected sshd to answer, got {reason}; check name, port and network with "
        f"`ssh {shlex.join(_ssh_arguments(host))}`"
    )


def _ssh_arguments(host: HostOptions) -> list[str]:
    words = []
    for option, value in (("-F", host.ssh_config), ("-i", host.identity), ("-p", host.port)):
        if value is not None:
            words += [option, str(value)]
    return [*words, f"{host.user}@{host.host}" if host.user else host.host, "true"]


def _not_trusted(
    error: Exception,
    host: HostOptions,
    options: asyncssh.SSHClientConnectionOptions,
    client: _Client,
) -> TargetError:
    if client.refused is None:  # a revoked key, a certificate, or the host that is jumped over
        return TargetError(
            f"{host.label}: expected a host key that known_hosts vouches for, got {error}; "
            f"ask who looks after that host"
        )
    name, address, port, key = client.refused
    file = _first_file(options)
    scan = _scan(name, port, file)
    own_port = port if port != asyncssh.DEFAULT_PORT else None
    known = asyncssh.match_known_hosts(options.known_hosts, name, address, own_port)
    if not known[0]:
        return TargetError(
            f"{host.label}: expected a host key that is in known_hosts, got an unknown one, "
            f"{key.get_fingerprint()}; compare it with `ssh-keygen -lf` of the board's "
            f"/etc/ssh/ssh_host_*_key.pub, then run `{scan}`"
        )
    entry = name if own_port is None else f"[{name}]:{port}"
    remove = shlex.join(["ssh-keygen", "-R", entry, "-f", file])
    return TargetError(
        f"{host.label}: expected the host key of known_hosts, got another one, "
        f"{key.get_fingerprint()}: the board was flashed anew, or somebody answers in its place; "
        f"if it was flashed, run `{remove}` and then `{scan}`"
    )


def _first_file(options: asyncssh.SSHClientConnectionOptions) -> str:
    files = cast("list[str]", options.known_hosts)
    return files[0] if files[0] != os.devnull else str(_USER_KNOWN_HOSTS.expanduser())


def _scan(name: str, port: int, file: str) -> str:
    words = ["ssh-keyscan", *(["-p", str(port)] if port != asyncssh.DEFAULT_PORT else []), name]
    return f"{shlex.join(words)} >> {shlex.quote(file)}"
