"""A board to push to: sshd on loopback, and bundles whose commands answer at once.

`OpensshServer` is the system's own sshd, run as the current user; `AsyncsshServer` is there where
that is not installed. Both have keys, lists of hosts and a PATH of their own: python3 of the board
is this Python without its packages, with stand-ins for numpy, cv2 and openvino.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import asyncssh

from erpose_edge.deploy.remote.hosts import HostOptions
from erpose_edge.deploy.remote.push import push_release
from erpose_edge.deploy.remote.results import PushOptions
from erpose_edge.runtime.bundle import Bundle, BundleList, ListedFile
from erpose_edge.runtime.safe_tar import BLOCK, END, header

SSHD = Path("/usr/sbin/sshd")
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd of root wants it; its service makes it

_RUNTIME = """
import json, sys, time
from pathlib import Path
plan = json.loads(Path("plan.json").read_text())
command = sys.argv[1]
assert sys.argv[2] == "--json", sys.argv
sys.stderr.write(command + " at work\\n")
sys.stderr.flush()
time.sleep(plan.get("seconds", 0))
code = plan.get(command, 0)
if code and command == "selftest":
    print(json.dumps({"pictures": 3, "passed": False, "misses": [{}, {}]}))
    sys.exit(code)
if code and command != "benchmark":
    sys.stderr.write("error: %s: expected success, got the code %d; mend it\\n" % (command, code))
    sys.exit(code)
verdict = {"pass": not code, "exit_code": code, "reasons": ["too slow"] if code == 4 else []}
if code == 3:
    verdict["reasons"] = ["too few keypoints"]
print(json.dumps({"verdict": verdict, "command": command}))
sys.exit(code)
"""


def make_bundle(folder: Path, number: int = 0, payload: int = 2000, **plan: object) -> Bundle:
    """Write a bundle and, beside it, its tar.

    Args:
        folder: Of the bundle; the tar is ``folder.tar``.
        number: Bundles of different numbers have different names.
        payload: Bytes of a file that tar cannot shrink.
        plan: ``engine``, ``device_tree``; exit codes by command; ``seconds`` that each one takes.
    """
    engine, tree = plan.pop("engine", "openvino"), plan.pop("device_tree", None)
    noise = hashlib.shake_128(str(number).encode()).digest(payload)
    files = {
        "artifacts/int8/manifest.json": b"{}",
        "erpose_runtime/__main__.py": _RUNTIME.encode(),
        "erpose_runtime/__init__.py": b"",
        "payload.bin": noise,
        "plan.json": json.dumps(plan).encode(),
    }
    listed = {
        path: ListedFile(hashlib.sha256(content).hexdigest(), len(content))
        for path, content in sorted(files.items())
    }
    profile = {"name": "tiny", "engine": engine, "device_tree": tree}
    document = BundleList("tiny", ("artifacts/int8",), profile, listed, ("Apache-2.0",), {})
    files["bundle.json"] = document.to_bytes()
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    tar_of(folder).write_bytes(_tar(files))
    return Bundle(folder, document)


def tar_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".tar")


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    for path, content in sorted(files.items()):
        packed.write(header(path, len(content)) + content + bytes(-len(content) % BLOCK))
    return packed.getvalue() + END


def write_board_path(folder: Path, modules: tuple[str, ...] = ("numpy", "cv2", "openvino")) -> Path:
    """Make the PATH of a board: a python3 with these (empty) modules only."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name in modules:
        (packages / f"{name}.py").write_text("")
    programs = folder / "bin"
    programs.mkdir()
    write_program(programs / "python3", f'PYTHONPATH={packages} exec {sys.executable} -S "$@"')
    return programs


def write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


class _Keys:
    """Keys of a host and of its user, and an ssh configuration that uses them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.programs = write_board_path(folder / "board")
        self.path = f"{self.programs}:/usr/local/bin:/usr/bin:/bin"
        for name in ("host_key", "user_key"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
            (folder / name).chmod(0o600)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def write_config(self) -> None:
        self.config = self.folder / "config"
        known = self.write_known_hosts("known_hosts", self.port, self.folder / "host_key.pub")
        self.config.write_text(
            f"Host board*\n  HostName 127.0.0.1\n  Port {self.port}\n  User {user_name()}\n"
            f"  IdentityFile {self.folder / 'user_key'}\n  UserKnownHostsFile {known}\n"
        )

    def write_known_hosts(self, name: str, port: int, public_key: Path) -> Path:
        known = self.folder / name
        known.write_text(f"[127.0.0.1]:{port} {public_key.read_text()}")
        return known

    def config_with(self, name: str, **changes: object) -> Path:
        """Write another configuration, with some of its lines changed."""
        lines = self.config.read_text().splitlines()
        changed = self.folder / name
        kept = [line for line in lines if line.split()[0] not in changes]
        kept += [f"  {key} {value}" for key, value in changes.items()]
        changed.write_text("\n".join(kept) + "\n")
        return changed

    def host(self, path: Path, **options: object) -> HostOptions:
        """Name the board; its releases go to ``path``."""
        fields = {"host": "board", "path": str(path), "ssh_config": self.config, **options}
        return HostOptions.model_validate(fields)


def user_name() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


class OpensshServer(_Keys):
    """The system's sshd, in the foreground, for the current user."""

    kind = "openssh"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write_config()
        # Another HOME: the start files of this user's shell would put their own PATH first.
        settings = folder / "sshd_config"
        settings.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPidFile none\nUsePAM no\n"
            "StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"KbdInteractiveAuthentication no\nSetEnv PATH={self.path} HOME={folder}\n"
            "MaxStartups 100\nSubsystem sftp internal-sftp\nLogLevel ERROR\n"
        )
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        log = folder / "sshd.log"
        self.process = subprocess.Popen([str(SSHD), "-D", "-f", str(settings), "-E", str(log)])
        end = time.monotonic() + 10
        while not _answers(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"sshd did not start: {log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
            return peer.recv(4) == b"SSH-"
    except OSError:
        return False


class AsyncsshServer(_Keys):
    """asyncssh's own server, in a thread: SFTP, and commands run by sh."""

    kind = "asyncssh"

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        super().__init__(folder)
        if programs is not None:
            self.path = f"{programs}:{self.path}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.get_port()
        self.write_config()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(self.folder / "host_key")],
            authorized_client_keys=str(self.folder / "authorized_keys"),
            process_factory=self._execute,
            encoding=None,
            sftp_factory=True,
        )

    async def _execute(self, process: asyncssh.SSHServerProcess) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command or "true",
            env={**os.environ, "PATH": self.path},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        copies = [
            asyncio.create_task(_copy(child.stdout, process.stdout)),
            asyncio.create_task(_copy(child.stderr, process.stderr)),
        ]
        feed = asyncio.create_task(_feed(process.stdin, child.stdin))
        with contextlib.suppress(BrokenPipeError, asyncssh.Error):
            await asyncio.gather(*copies)
        code = await child.wait()
        feed.cancel()
        with contextlib.suppress(BrokenPipeError, OSError, asyncssh.Error):
            process.exit(code)

    def stop(self) -> None:
        async def close() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _copy(source: asyncio.StreamReader, target: asyncssh.SSHWriter) -> None:
    while block := await source.read(1 << 16):
        target.write(block)
        await target.drain()


async def _feed(source: asyncssh.SSHReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncssh.Error, OSError):
        while block := await source.read(1 << 16):
            target.write(block)
    target.close()


def push_and_wait(host: dict[str, object], folder: Path) -> None:
    """Push a bundle that `make_bundle` wrote: what a process to be killed does."""
    document = BundleList.from_bytes((folder / "bundle.json").read_bytes())
    to, bundle = HostOptions.model_validate(host), Bundle(folder, document)
    asyncio.run(push_release(to, tar_of(folder), bundle, PushOptions(), lambda event: None))


class CuttingProxy:
    """Passes bytes on to a port and cuts the connection after so many from the client."""

    def __init__(self, port: int, after: int) -> None:
        self._to = port
        self._left = after
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, to_there]
        back = asyncio.create_task(self._back(there, writer))
        with contextlib.suppress(OSError):
            while self._left > 0 and (block := await reader.read(1 << 14)):
                self._left -= len(block)
                to_there.write(block)
                await to_there.drain()
        to_there.close()
        writer.transport.abort()
        await back

    async def _back(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await source.read(1 << 14):
                target.write(block)
                await target.drain()
