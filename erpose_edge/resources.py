"""Find the data that travel with the project: configs, targets, facts, calibration sets, weights.

A clone and an editable install keep these folders beside the package; a wheel carries them inside
it, under ``_data``. Callers name a kind and a name and never a folder.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal, NamedTuple

from erpose_edge.errors import ConfigError, ErposeError, TargetError, WeightsError

Kind = Literal["configs", "targets", "facts", "calibration", "weights"]


class _Kind(NamedTuple):
    """A kind of data.

    Attributes:
        noun: What one of it is called in messages.
        suffix: Of its files.
        error: What a wrong name raises.
        folder: Where its files are; empty: a folder called like the kind.
        apart: A folder in there that holds another kind.
    """

    noun: str
    suffix: str
    error: type[ErposeError]
    folder: str = ""
    apart: str = ""


_KINDS: dict[str, _Kind] = {
    "configs": _Kind("config", ".yaml", ConfigError),
    "targets": _Kind("target", ".yaml", TargetError, apart="facts"),
    "facts": _Kind("facts", ".yaml", ConfigError, folder="targets/facts"),
    "calibration": _Kind("calibration", ".yaml", ConfigError),
    "weights": _Kind("weights", ".safetensors", WeightsError),
}
_PACKAGE = Path(__file__).resolve().parent


def find_resource(kind: Kind, name: str | Path) -> Path:
    """Return the file called ``name``: a path first, then a bundled one of that kind.

    Args:
        kind: Which folder holds it.
        name: A path, or a bundled name with or without its suffix (``n``, ``n.yaml``,
            ``policies/default``).

    Raises:
        ConfigError: No such config or calibration file.
        TargetError: No such target.
        WeightsError: No such weights.
    """
    spec = _KINDS[kind]
    given = Path(name)
    if given.is_file():
        return given
    known = list_resources(kind)
    wanted = str(name).removesuffix(spec.suffix)
    if wanted in known:
        return _folder(kind) / (wanted + spec.suffix)
    near = difflib.get_close_matches(wanted, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "check the path"
    bundled = ", ".join(known) or "none is bundled"
    raise spec.error(
        f"{spec.noun}: expected a file, or a bundled name ({bundled}), got {str(name)!r}; {advice}"
    )


def list_resources(kind: Kind) -> list[str]:
    """Return the names of every bundled file of ``kind``, without suffix, sorted."""
    folder = _folder(kind)
    suffix, apart = _KINDS[kind].suffix, _KINDS[kind].apart
    files = (path.relative_to(folder) for path in folder.rglob(f"*{suffix}") if path.is_file())
    own = (path for path in files if not apart or path.parts[0] != apart)
    return sorted(path.as_posix().removesuffix(suffix) for path in own)


def _folder(kind: Kind) -> Path:
    if kind == "weights":
        return _PACKAGE / "weights"
    name = _KINDS[kind].folder or kind
    in_wheel = _PACKAGE / "_data" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name
