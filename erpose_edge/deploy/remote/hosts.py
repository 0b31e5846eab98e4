"""How hosts are written: ``user@host:port`` on the command line, and fleets in YAML.

Everything is checked here against plain characters: host, user and folder become words of remote
commands and of lines that people copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from erpose_edge.config_file import StrictModel, model_from_mapping, read_yaml
from erpose_edge.errors import ConfigError

_USER = r"[A-Za-z_][A-Za-z0-9._-]*"
_HOST = r"[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f:]+(?:%[A-Za-z0-9.]+)?"
_WRITTEN = re.compile(
    rf"(?:(?P<user>{_USER})@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:]+(?:%[A-Za-z0-9.]+)?)\]|(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_FOLDER = re.compile(r"(?:~/|/)?[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


def _mapping(written: object) -> object:
    """Turn the short way to write a host into the long one."""
    if not isinstance(written, str):
        return written
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise _rule("[user@]host[:port]", written)
    fields: dict[str, Any] = {"host": found["host"] or found["v6"], "user": found["user"]}
    if found["port"]:
        fields["port"] = int(found["port"])
    return fields


def _rule(expected: str, got: object, *key: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "", {"key": key, "expected": expected, "got": got})


def _folder(path: str) -> str:
    if not _FOLDER.fullmatch(path):
        raise _rule("a folder of letters, digits and _ . + - between slashes", path)
    return path.removeprefix("~/")


RemoteFolder = Annotated[str, AfterValidator(_folder)]
LocalFile = Annotated[Path, Strict(False), AfterValidator(lambda path: path.expanduser())]


class HostOptions(StrictModel):
    """One host, and how to reach it. What is None comes from OpenSSH's configuration.

    Attributes:
        host: Name, address, or ``Host`` of the ssh configuration.
        user: Login.
        port: Of sshd.
        path: Folder for the releases there, under the login's home unless it begins with ``/``;
            None: ``erpose-edge/TARGET``.
        identity: File of a private key, as ``ssh -i``.
        ssh_config: File to read instead of ``~/.ssh/config``, as ``ssh -F``.
    """

    host: Annotated[str, Field(pattern=rf"^(?:{_HOST})$")]
    user: Annotated[str, Field(pattern=rf"^(?:{_USER})$")] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    path: RemoteFolder | None = None
    identity: LocalFile | None = None
    ssh_config: LocalFile | None = None

    def root(self, target: str) -> str:
        """Return the folder of the releases of ``target`` there.

        Raises:
            ConfigError: The target's name cannot be part of a path; `path` is to be given.
        """
        if self.path is not None:
            return self.path
        if not _FOLDER.fullmatch(target):
            raise ConfigError(
                f"{self.label}: expected a target whose name can be a folder, got {target!r}; "
                "give the folder with --path"
            )
        return f"erpose-edge/{target}"

    @property
    def label(self) -> str:
        """How people and documents name it: ``user@host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}:{self.port}" if self.port else f"{user}{host}"


class Fleet(StrictModel):
    """Hosts that get the same release.

    Attributes:
        hosts: Each as ``user@host:port`` or as a mapping of `HostOptions`.
        concurrency: How many at the same time.
        canary: The first so many go before the others; if one of them fails, no other is touched.
        timeout_s: For each host, all its steps together.
    """

    hosts: Annotated[
        list[Annotated[HostOptions, BeforeValidator(_mapping)]],
        Field(min_length=1, max_length=1000),
    ]
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    canary: Annotated[int, Field(ge=0)] = 0
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0

    @model_validator(mode="after")
    def _each_once(self) -> Fleet:
        seen = set()
        for host in self.hosts:
            place = (host.label, host.path)
            if place in seen:
                raise _rule("every host and path once", host.label, "hosts")
            seen.add(place)
        if self.canary > len(self.hosts):
            raise _rule(f"at most the {len(self.hosts)} hosts", self.canary, "canary")
        return self


def parse_host(written: str, options: Mapping[str, object] | None = None) -> HostOptions:
    """Return the host that ``[user@]host[:port]`` names.

    Args:
        written: As on the command line; an IPv6 address is in brackets.
        options: Further fields of `HostOptions`.

    Raises:
        ConfigError: It is not of that form, or a field is wrong.
    """
    try:
        fields = _mapping(written)
    except PydanticCustomError as error:
        context = error.context or {}
        raise ConfigError(
            f"--host: expected {context['expected']}, got {written!r}; "
            "an IPv6 address is in brackets"
        ) from error
    merged = {**dict(fields), **(options or {})}  # type: ignore[call-overload]  # a mapping
    return model_from_mapping(merged, HostOptions, f"--host {written}")


def load_fleet(path: Path) -> Fleet:
    """Return the fleet of a YAML file.

    Raises:
        ConfigError: The file is missing or has a mistake; the message names file, line and key.
    """
    return read_yaml(path, Fleet)
