"""Read JSON that somebody else may have written: every value is asked for by name and type."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

from erpose_edge.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 16 * 1024 * 1024
_REMEDY = "fetch or export the artifact again"
_Value = TypeVar("_Value")


def is_plain_name(name: str) -> bool:
    """Say whether ``name`` is a file's name and nothing more: no path, no hidden file."""
    return _PLAIN_NAME.fullmatch(name) is not None


class Fields:
    """The fields of one JSON object; each is taken once, `end` refuses what was not asked for.

    Attributes:
        values: The object as JSON gave it.

    Every method that takes a field raises IntegrityError, naming file and field, where it is
    missing, of another type or out of range.
    """

    def __init__(
        self, values: dict[str, Any], where: str, prefix: str = "", remedy: str = _REMEDY
    ) -> None:
        self.values = values
        self._where = where
        self._prefix = prefix
        self._remedy = remedy
        self._taken: set[str] = set()

    @classmethod
    def parse(
        cls, content: bytes, where: str, max_bytes: int = _MAX_BYTES, remedy: str = _REMEDY
    ) -> Fields:
        """Read a JSON object.

        Args:
            content: Its text.
            where: What errors call it.
            max_bytes: A longer text is refused unread.
            remedy: How errors end: what to do.

        Raises:
            IntegrityError: ``content`` is no such JSON, names a field twice, or is too large.
        """
        if len(content) > max_bytes:
            raise IntegrityError(
                f"{where}: expected at most {max_bytes} bytes, got {len(content)}; {remedy}"
            )
        try:
            document = json.loads(
                content.decode("utf-8"),
                object_pairs_hook=_without_twins,
                parse_constant=_refuse_constant,
            )
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"{where}: expected JSON, got {error}; {remedy}") from None
        if not isinstance(document, dict):
            raise IntegrityError(
                f"{where}: expected a JSON object, got {type(document).__name__}; {remedy}"
            )
        return cls(document, where, remedy=remedy)

    def error(self, name: str, expected: str, got: object) -> IntegrityError:
        """Return the error that says what is wrong with a field."""
        shown = repr(got)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        place = f"{self._prefix}{name}"
        place = place if place.isprintable() else repr(place)[1:-1]  # a name may hold a line end
        return IntegrityError(
            f"{self._where}: {place}: expected {expected}, got {shown}; {self._remedy}"
        )

    def end(self) -> None:
        """Refuse fields that nobody took."""
        for name in self.values:
            if name not in self._taken:
                raise self.error(name, "no such field", self.values[name])

    def text(self, name: str) -> str:
        """Take a text."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self.error(name, "text", value)
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Take one of the allowed texts."""
        value = self.text(name)
        if value not in allowed:
            raise self.error(name, " or ".join(allowed), value)
        return value

    def sha256(self, name: str) -> str:
        """Take 64 lower-case hex digits."""
        value = self._take(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.error(name, "64 hex digits", value)
        return value

    def boolean(self, name: str) -> bool:
        """Take true or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self.error(name, "true or false", value)
        return value

    def number(self, name: str) -> float:
        """Take a finite number."""
        return self._number(name, self._take(name))

    def integer(self, name: str, low: int, high: int = 2**63 - 1) -> int:
        """Take an integer from ``low`` to ``high``."""
        return self._integer(name, self._take(name), low, high)

    def integers(self, name: str, low: int, high: int) -> tuple[int, ...]:
        """Take a list of at least one integer from ``low`` to ``high``."""
        values = tuple(self._integer(name, value, low, high) for value in self._list(name))
        if not values:
            raise self.error(name, "at least one integer", [])
        return values

    def indices(self, name: str, length: int) -> tuple[int, ...]:
        """Take a list, possibly empty, of places in a sequence of ``length``."""
        return tuple(self._integer(name, value, 0, length - 1) for value in self._list(name))

    def pair(self, name: str) -> tuple[float, float]:
        """Take two finite numbers."""
        values = self._list(name)
        if len(values) != 2:
            raise self.error(name, "two numbers", values)
        return self._number(name, values[0]), self._number(name, values[1])

    def fraction(self, name: str) -> float:
        """Take a number from 0 to 1."""
        value = self._take(name)
        if not 0 <= self._number(name, value) <= 1:
            raise self.error(name, "a number from 0 to 1", value)
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of texts."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                raise self.error(name, "a list of texts", value)
        return tuple(values)

    def mapping(self, name: str) -> dict[str, Any]:
        """Take an object with any content."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise self.error(name, "an object", value)
        return value

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Take an object of texts."""
        inner = self.inner(name)
        return {key: inner.text(key) for key in inner.values}

    def numbers_by_name(self, name: str) -> dict[str, float]:
        """Take an object of finite numbers."""
        inner = self.inner(name)
        return {key: inner._number(key, value) for key, value in inner.values.items()}

    def hashes_by_file(self, name: str) -> dict[str, str]:
        """Take an object of sha256 by plain file name."""
        inner = self.inner(name)
        for key in inner.values:
            if not is_plain_name(key):
                raise self.error(name, "plain file names without a path", key)
        return {key: inner.sha256(key) for key in inner.values}

    def inner(self, name: str) -> Fields:
        """Take an object whose fields are then taken one by one."""
        return Fields(self.mapping(name), self._where, f"{self._prefix}{name}.", self._remedy)

    def inner_list(self, name: str) -> list[Fields]:
        """Take a list of such objects."""
        found = []
        for index, value in enumerate(self._list(name)):
            if not isinstance(value, dict):
                raise self.error(f"{name}[{index}]", "an object", value)
            place = f"{self._prefix}{name}[{index}]."
            found.append(Fields(value, self._where, place, self._remedy))
        return found

    def pose_lists(self, name: str) -> tuple[list[dict[str, Any]], ...]:
        """Take a list of lists of ``{"score", "keypoints": [[x, y, visibility], ...]}``."""
        lists = self._list(name)
        for poses in lists:
            if not isinstance(poses, list) or not all(isinstance(p, dict) for p in poses):
                raise self.error(name, "lists of poses", poses)
            for pose in poses:
                self._check_pose(name, pose)
        return tuple(lists)

    def optional(self, name: str, take: Callable[[str], _Value]) -> _Value | None:
        """Take null, or else what ``take`` takes."""
        if name in self.values and self.values[name] is None:
            self._taken.add(name)
            return None
        return take(name)

    def _check_pose(self, name: str, pose: dict[str, Any]) -> None:
        keypoints = pose.get("keypoints")
        if set(pose) != {"score", "keypoints"} or not isinstance(keypoints, list):
            raise self.error(name, "poses of score and keypoints", pose)
        self._number(name, pose["score"])
        for point in keypoints:
            if not isinstance(point, list) or len(point) != 3:
                raise self.error(name, "keypoints of x, y and visibility", point)
            for value in point:
                self._number(name, value)

    def _take(self, name: str) -> Any:  # noqa: ANN401 - JSON; the callers narrow it
        if name not in self.values:
            raise IntegrityError(
                f"{self._where}: {self._prefix}{name}: expected the field, got none; {self._remedy}"
            )
        self._taken.add(name)
        return self.values[name]

    def _list(self, name: str) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list):
            raise self.error(name, "a list", value)
        return value

    def _integer(self, name: str, value: object, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(name, f"an integer from {low} to {high}", value)
        return value

    def _number(self, name: str, value: object) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(name, "a number", value)
        try:
            number = float(value)
        except OverflowError:  # an integer beyond what a double holds
            number = math.inf
        if not math.isfinite(number):  # 1e999 is JSON
            raise self.error(name, "a finite number", value)
        return number


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a field that stands twice")
    return values


def _refuse_constant(text: str) -> Any:  # noqa: ANN401 - the signature json asks for
    raise ValueError(f"{text}, which is no number of JSON")
