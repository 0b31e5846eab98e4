"""Read a YAML file into a pydantic schema; a mistake is one line naming file, line and key.

Every YAML file of the project (runs, targets, calibration sets, policies) is read here, so all
give the same messages: ``n.yaml:12: training.epoch: unknown key; did you mean 'epochs'?``
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from erpose_edge.config_mistakes import UNKNOWN_KEY, Key, Source, dotted, message, shown
from erpose_edge.errors import ConfigError

SchemaT = TypeVar("SchemaT", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every schema: no unknown keys, no conversions, finite numbers, immutable."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_default=True
    )


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is untyped
    """PyYAML's safe loader, but ``1e-3`` is a number as in YAML 1.2 and JSON."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path, schema: type[SchemaT], overrides: Sequence[str] = ()) -> SchemaT:
    """Return ``schema`` filled from the YAML file ``path`` and then from ``overrides``.

    Args:
        path: UTF-8 YAML file holding one mapping.
        schema: What the mapping must look like.
        overrides: ``a.b=value`` each, the value written in YAML; a list item is named by its
            index (``data.train.0.count=64``).

    Raises:
        ConfigError: The file is missing or no YAML, a key is unknown, missing or written twice,
            or a value is of the wrong type or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file, got {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, got bytes that are not") from error
    source = Source(str(path))
    values = _parse(text, source)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {shown(values)}")
    for override in overrides:
        _apply(override, values, source)
    return _validate(values, schema, source)


def model_from_mapping(values: object, schema: type[SchemaT], name: str) -> SchemaT:
    """Return ``schema`` filled from parsed values, such as the config inside a weights file.

    Args:
        values: What a JSON or YAML parser returned.
        schema: What it must look like.
        name: Where the values came from, for messages.

    Raises:
        ConfigError: As in ``read_yaml``.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected a mapping of settings, got {shown(values)}")
    return _validate(values, schema, Source(name))


def dump_yaml(model: BaseModel) -> str:
    """Return ``model`` as YAML that ``read_yaml`` reads back to an equal model."""
    text: str = yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def _parse(text: str, source: Source) -> Any:  # noqa: ANN401 - any YAML value
    try:
        loader = _Loader(text)
        source.root = loader.get_single_node()
        if source.root is None:
            return None
        _refuse_duplicates(source.root, source.name)
        return loader.construct_document(source.root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source.name}:{mark.line + 1}" if mark else source.name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}: expected YAML, got a mistake: {problem}") from error
    except ValueError as error:  # what looks like a date or a number and is none
        raise ConfigError(f"{source.name}: expected YAML, got a mistake: {error}") from error
    except RecursionError:
        raise ConfigError(f"{source.name}: expected settings, got too many brackets") from None


def _refuse_duplicates(root: yaml.Node, name: str) -> None:
    # PyYAML keeps the last of two equal keys without a word; one of the two was meant to count.
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                text = str(key.value)
                if text in lines:
                    raise ConfigError(
                        f"{name}:{line}: {text}: expected once, got it again "
                        f"(first on line {lines[text]}); delete one"
                    )
                lines[text] = line
                pending.append(value)


def _apply(override: str, values: dict[Any, Any], source: Source) -> None:
    option = f"--set {override}"
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"{option}: expected key.key=value, got {override!r}")
    key: Key = tuple(int(part) if part.isdecimal() else part for part in parts)
    value = _parse(text, Source(option))
    target: Any = values
    for depth, part in enumerate(key):
        last = depth == len(key) - 1
        if isinstance(target, list):
            if not isinstance(part, int) or part >= len(target):
                raise ConfigError(
                    f"{option}: {dotted(key[:depth])}: expected an index below {len(target)}, "
                    f"got {part!r}"
                )
        elif isinstance(target, dict):
            if not last and target.get(part) is None:
                target[part] = {}  # a section that the file leaves to its defaults
        else:
            raise ConfigError(
                f"{option}: expected a key of a section, but {dotted(key[:depth])} is "
                f"{shown(target)}"
            )
        if last:
            target[part] = value
        else:
            target = target[part]
    source.overrides[key] = option


def _validate(values: dict[Any, Any], schema: type[SchemaT], source: Source) -> SchemaT:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # A misspelt key is also a missing one: the misspelling is the mistake to show.
        mistakes.sort(key=lambda mistake: mistake["type"] not in UNKNOWN_KEY)
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        raise ConfigError(message(mistakes[0], values, schema, source) + more) from error
