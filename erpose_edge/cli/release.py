"""What `deploy` does after a verdict: write the bundle, sign it, push it to boards.

Not a command of its own: ``cli/deploy.py`` parses the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.cli.output import messages, progress

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from erpose_edge.deploy.ladder import Deployment
    from erpose_edge.deploy.profile import Profile
    from erpose_edge.deploy.remote.hosts import Fleet
    from erpose_edge.deploy.rungs import Rung

_FOLDER = "bundle"  # of the results' folder


@dataclass(frozen=True)
class Away:
    """Boards, as the options name them; none if neither ``host`` nor ``hosts`` is given."""

    host: str | None
    hosts: Path | None
    path: str | None = None
    identity: Path | None = None
    ssh_config: Path | None = None

    @property
    def asked(self) -> bool:
        """Whether there is a board to push to."""
        return self.host is not None or self.hosts is not None

    def fleet(self) -> Fleet:
        """Return the boards.

        Raises:
            RequestError: None is named, or options that do not go together.
            ConfigError: A host or the file has a mistake.
        """
        from erpose_edge.cli.remote import fleet_of

        return fleet_of(self.host, self.hosts, self.path, self.identity, self.ssh_config)

    def check(self, profile: Profile) -> None:
        """Refuse mistakes, and a single board that cannot serve, before the long work.

        Of many boards each has its own result at the end.
        """
        if not (self.asked or self.path or self.identity or self.ssh_config):
            return
        import asyncio

        import asyncssh  # noqa: F401 - named first where it is missing

        fleet = self.fleet()
        if self.hosts is None:
            from erpose_edge.deploy.remote.push import check_host

            plain = profile.model_dump(mode="json")
            asyncio.run(check_host(fleet.hosts[0], profile.name, plain))

    def roll_back(self, target: str, *, as_json: bool) -> int:
        """Let the release before serve again; return the exit code."""
        from erpose_edge.cli.remote import roll_back
        from erpose_edge.deploy.remote.results import PushOptions

        return roll_back(self.fleet(), target, PushOptions(), as_json)


@dataclass(frozen=True)
class Made:
    """A deployment that chose an artifact, and what its bundle is to be.

    Attributes:
        result: The deployment.
        rungs: That it tried.
        folder: Of its results.
        out: Where the bundle is wanted: a folder, or a file ``.tar`` or ``.tar.zst``; None if it
            only goes to boards.
        key: That signs it.
        compare: fp32 goes with it.
    """

    result: Deployment
    rungs: Sequence[Rung]
    folder: Path
    out: Path | None
    key: Ed25519PrivateKey | None
    compare: bool

    def send(
        self, away: Away, keep: int, options: tuple[str, ...], *, accept_slow: bool, as_json: bool
    ) -> int:
        """Write the bundle and push it, if there are boards; return the exit code.

        Args:
            away: The boards.
            keep: Releases that stay on each.
            options: Of the boards' ``benchmark``.
            accept_slow: Serve although the latency budget was missed.
            as_json: Print the document of the push.
        """
        from erpose_edge.cli.remote import push
        from erpose_edge.deploy.bundle.archive import is_archive, pack
        from erpose_edge.deploy.bundle.signature import sign_bundle
        from erpose_edge.deploy.release import write_release
        from erpose_edge.deploy.remote.results import PushOptions
        from erpose_edge.errors import EXIT_PASS

        plain = self.out is not None and not is_archive(self.out)
        folder = self.out if self.out is not None and plain else self.folder / _FOLDER
        with progress("bundle"):
            bundle = write_release(self.result, self.rungs, folder, compare=self.compare)
            if self.key is not None:
                bundle = sign_bundle(bundle, self.key)
            if self.out is not None and not plain:
                pack(folder, self.out)
        size = bundle.size_bytes / 1e6
        messages.print(
            f"bundle: {self.out or folder}, release {bundle.name}, {size:.1f} MB",
            markup=False,
            soft_wrap=True,
        )
        if not away.asked:
            return EXIT_PASS
        archive = self.folder / f"{_FOLDER}.tar"
        pack(folder, archive)
        pushing = PushOptions(keep=keep, accept_slow=accept_slow, benchmark=options)
        certificates = self.folder / "certificates"
        return push(away.fleet(), archive, bundle, pushing, certificates, as_json)


def check_place(path: Path | None) -> None:
    """Refuse, before the long work, a place where no bundle can be written.

    Raises:
        RequestError: Its name is that of another kind of archive, or something else is there.
    """
    from erpose_edge.deploy.bundle.archive import is_archive, require_archive_name
    from erpose_edge.deploy.bundle.write import require_place

    if path is None or is_archive(path):
        return
    if path.suffix and not path.is_dir():
        require_archive_name(path)
    require_place(path)


def signing_key(path: Path | None) -> Ed25519PrivateKey | None:
    """Return the key to sign with; a passphrase is asked for now, not after the long work."""
    if path is None:
        return None
    from erpose_edge.cli.bundle import ask_passphrase
    from erpose_edge.deploy.bundle.signature import load_private_key

    return load_private_key(path, ask_passphrase)


def board_options(seconds: float, power_mode: str | None) -> tuple[str, ...]:
    """Return the options of ``benchmark`` on the board."""
    mode = () if power_mode is None else ("--set-power-mode", power_mode)
    return ("--seconds", str(seconds), *mode)
