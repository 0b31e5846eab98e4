"""What a push does on the board: locks, release folders and the ``current`` link.

Sent as text to the board's own python3, so it is standard library only and, as a board with an old
Python has to be told so in one line, nothing that Python 3.6 cannot read. Every operation prints
one JSON document; what it cannot do is one line on stderr and exit code ``FAILED``. What changes
something holds ``.work``, and needs the token of the push that holds ``.lock``.
"""

import fcntl
import hashlib
import importlib
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

FAILED = 7  # no exit code of the bundle's commands
SILENCE_S = 60.0  # the workstation writes a line every few seconds; after this it counts as gone
LOCK_WAIT_S = 5.0  # for a push that was just killed to let go
WORK_WAIT_S = 20.0  # for its commands
RELEASE = re.compile(r"[0-9a-f]{12}(-[0-9]+)?")
_BLOCK = 1 << 20
_HISTORY = 50  # lines kept
_ENDED_BY_US = 128 + signal.SIGTERM


class RefusalError(Exception):
    """One line for the person who pushes."""


def check(root: str, archive: str, *modules: str) -> dict:
    """Say what this machine has: Python, modules, free bytes."""
    there = Path(root).absolute()
    while not there.is_dir():
        there = there.parent
    part = _part(root, archive)
    return {
        "python": list(sys.version_info[:3]),
        "import_errors": {name: _import_error(name) for name in ("numpy", "cv2")},
        "modules": {name: importlib.util.find_spec(name) is not None for name in modules},
        "free_bytes": shutil.disk_usage(str(there)).free,
        "part_bytes": part.stat().st_size if part.is_file() else 0,
        "writable": os.access(str(there), os.W_OK | os.X_OK),
        "existing": str(there),
    }


def _import_error(name: str) -> "str | None":
    try:
        importlib.import_module(name)
    except ImportError as error:
        return str(error) or type(error).__name__
    return None


def _part(root: str, archive: str) -> Path:
    return Path(root, "incoming", archive + ".tar.part")


def lock(root: str, token: str, holder: str) -> None:
    """Hold the lock of this folder until stdin ends; say who left it without finishing."""
    Path(root).mkdir(parents=True, exist_ok=True)
    held = _open(root, ".lock")
    if not _flock(held, fcntl.LOCK_EX, LOCK_WAIT_S):
        _print({"locked": False, "holder": _read_lock(held).get("holder")})
        return
    left = _read_lock(held).get("holder")
    os.ftruncate(held, 0)
    os.pwrite(held, json.dumps({"token": token, "holder": holder}).encode(), 0)
    work = _open(root, ".work")
    if not _flock(work, fcntl.LOCK_EX, WORK_WAIT_S):
        raise RefusalError("a command of an earlier push still runs")
    os.close(work)
    _print({"locked": True, "left": left})
    if _last_said() == b"done":
        os.ftruncate(held, 0)


def _open(root: str, name: str) -> int:
    return os.open(str(Path(root, name)), os.O_RDWR | os.O_CREAT, 0o644)


def _flock(descriptor: int, kind: int, wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        else:
            return True


def _read_lock(descriptor: int) -> dict:
    try:
        return dict(json.loads(os.pread(descriptor, 4096, 0).decode()))
    except ValueError:
        return {}


def _last_said() -> bytes:
    """Wait until stdin ends or falls silent; return its last line."""
    last = b""
    while select.select([0], [], [], SILENCE_S)[0]:
        block = os.read(0, 4096)
        if not block:
            return last
        last = block.strip() or last
    return b""


def _work(root: str, token: str) -> None:
    """Hold ``.work``; the descriptor is inherited, so a command that outlives us holds it too."""
    descriptor = _open(root, ".work")
    if not _flock(descriptor, fcntl.LOCK_SH, WORK_WAIT_S):
        raise RefusalError("another push has taken over")
    os.set_inheritable(descriptor, True)
    if _read_lock(_open(root, ".lock")).get("token") != token:
        raise RefusalError("another push has taken over")


def prepare(root: str, token: str, release: str) -> dict:
    """Remove what a failed push left, and say whether the release is here and whole."""
    _work(root, token)
    releases = Path(root, "releases")
    releases.mkdir(exist_ok=True)
    Path(root, "incoming").mkdir(exist_ok=True)
    for folder in releases.glob(".*"):
        shutil.rmtree(str(folder))
    # A damaged release may be the one that serves: it is not touched, the new one gets a number.
    name, number, whole = release, 1, False
    while not whole and os.path.lexists(str(releases / name)):
        whole = _damage(releases / name) is None
        if not whole:
            number += 1
            name = f"{release}-{number}"
    return {"name": name, "whole": whole, "current": _current(root)}


def digest(root: str, archive: str) -> dict:
    """Return the SHA-256 of an upload."""
    return {"sha256": _sha256(_part(root, archive))}


def _sha256(path: Path) -> str:
    summed = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            summed.update(block)
    return summed.hexdigest()


def _damage(folder: Path) -> "str | None":
    """Say what of a release folder is not as it was written; None if nothing."""
    try:
        files = json.loads((folder / "bundle.json").read_text())["files"]
        for name, facts in files.items():
            if _sha256(folder / name) != facts["sha256"]:
                return f"{name} is not as it was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def unpack(root: str, token: str, archive: str, name: str) -> dict:
    """Unpack the archive and make it a release; the script checks its SHA-256 again."""
    _work(root, token)
    making = Path(root, "releases", f".{name}.part")
    script = Path(root, "incoming", "safe_tar.py")
    part = _part(root, archive)
    code = _run([str(script), str(part), str(making), "--sha256", archive], Path())
    if code:
        raise RefusalError(f"unpacking ended with exit code {code}")
    damage = _damage(making)
    if damage is not None:
        raise RefusalError(f"the bundle is damaged: {damage}")
    making.rename(_release(root, name))
    _keep_folder(making.parent)
    part.unlink()
    return {"name": name}


def run(root: str, token: str, name: str, *arguments: str) -> None:
    """Run a command of a release; its output and exit code are ours."""
    _work(root, token)
    sys.exit(_run(["-m", "erpose_runtime", *arguments], _release(root, name)))


def _run(arguments: list, folder: Path) -> int:
    """Run Python and return its exit code; end it when the workstation is gone."""
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=str(folder),
        env=dict(os.environ, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        close_fds=False,  # it holds .work
        start_new_session=True,  # its own children end with it
    )
    threading.Thread(target=_end_with_stdin, args=(child,), daemon=True).start()
    return child.wait()


def _end_with_stdin(child: subprocess.Popen) -> None:
    _last_said()
    for number, wait_s in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 0.0)):
        try:
            os.killpg(child.pid, number)
            child.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break
    os._exit(_ENDED_BY_US)


def _release(root: str, name: str) -> Path:
    if not RELEASE.fullmatch(name):
        raise RefusalError(f"no release id: {name!r}")
    return Path(root, "releases", name)


def switch(root: str, token: str, name: str) -> dict:
    """Make a whole release the one that serves."""
    _work(root, token)
    damage = _damage(_release(root, name))
    if damage is not None:
        raise RefusalError(f"release {name} is damaged: {damage}")
    previous, served = _current(root), _history(root)
    if previous != name:
        _write_history(root, served)
        _link(root, name)
        _write_history(root, [*served, name])
    return {"current": name, "previous": previous}


def rollback(root: str, token: str) -> dict:
    """Let the release serve that served before; damaged ones are passed over."""
    _work(root, token)
    current, served, passed = _current(root), _history(root), []  # type: ignore[var-annotated]
    while served:
        name = served.pop()
        if name == current or name in passed:
            continue
        if _damage(_release(root, name)) is None:
            _link(root, name)
            _write_history(root, [*served, name])
            return {"current": name, "previous": current, "passed": passed}
        passed.append(name)
    raise RefusalError("no earlier release is here and whole")


def _current(root: str) -> "str | None":
    try:
        return os.path.basename(os.readlink(str(Path(root, "current"))))  # noqa: PTH115, PTH119
    except OSError:
        return None


def _link(root: str, name: str) -> None:
    # A link cannot be changed; a new one takes its name in one step, so there always is one.
    making = Path(root, ".current.part")
    if os.path.lexists(str(making)):
        making.unlink()
    making.symlink_to(Path("releases", name))
    making.replace(Path(root, "current"))
    _keep_folder(Path(root))


def _keep_folder(path: Path) -> None:
    descriptor = os.open(str(path), os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _history(root: str) -> list:
    """Return the releases that served and are still here, the one that serves last."""
    path = Path(root, "history")
    names = path.read_text().split() if path.is_file() else []
    current = _current(root)
    if current and names[-1:] != [current]:
        names.append(current)  # its push was killed between the switch and this line
    here = (name for name in names if RELEASE.fullmatch(name) and _release(root, name).is_dir())
    return list(here)[-_HISTORY:]


def _write_history(root: str, names: list) -> None:
    making = Path(root, ".history.part")
    with making.open("w") as file:
        file.write("".join(name + "\n" for name in names))
        file.flush()
        os.fsync(file.fileno())
    making.replace(Path(root, "history"))


def prune(root: str, token: str, keep: str) -> dict:
    """Remove all but the newest releases; never the one that serves or the one before it."""
    _work(root, token)
    current = _current(root)
    before = [name for name in _history(root) if name != current][-1:]
    folders = [path for path in Path(root, "releases").iterdir() if RELEASE.fullmatch(path.name)]
    # The time of the rename: what is inside has the date of the archive.
    folders.sort(key=lambda path: (path.name in before, path.name == current, path.stat().st_ctime))
    removed = []
    for folder in folders[: -int(keep)]:
        if folder.name in (current, *before):
            continue
        # A dot first, so that half a release never has a release's name.
        gone = folder.with_name(f".{folder.name}.gone")
        folder.rename(gone)
        shutil.rmtree(str(gone))
        removed.append(folder.name)
    for part in Path(root, "incoming").glob("*.part"):
        part.unlink()
    return {"removed": sorted(removed)}


def why(root: str, archive: str) -> dict:
    """Try to add to an upload that failed, and say what the system answers."""
    part = _part(root, archive)
    free = shutil.disk_usage(str(part.parent)).free
    try:
        with part.open("ab", buffering=0) as file:
            size = file.tell()
            file.write(bytes(_BLOCK))
            os.fsync(file.fileno())
            file.truncate(size)
    except OSError as error:
        return {"error": error.strerror, "free_bytes": free}
    return {"error": None, "free_bytes": free}


def _print(document: dict) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main(operation: str, *arguments: str) -> None:
    """Do one operation and print its document."""
    try:
        document = OPERATIONS[operation](*arguments)
    except (RefusalError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(FAILED)
    if document is not None:
        _print(document)


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        check,
        digest,
        lock,
        prepare,
        prune,
        rollback,
        run,
        switch,
        unpack,
        why,
    )
}

if __name__ == "__main__":
    main(*sys.argv[1:])
