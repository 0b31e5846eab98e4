"""The one line that a mistake in a YAML file gives: file, line, key, expected, got.

Pydantic says what is wrong in its own words and places; here they become those of the file.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

Key = tuple[str | int, ...]

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass


@dataclass
class Source:
    """Where values came from, to be named in messages.

    Attributes:
        name: The file as the user gave it.
        root: The parsed nodes, which know their lines; None where there is no text.
        overrides: The keys set by hand and the option that set each.
    """

    name: str
    root: yaml.Node | None = None
    overrides: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """Return the file and line, or the option, that ``key`` was set in."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.overrides:
                return self.overrides[key[:length]]
        line = _line_of(self.root, key)
        return f"{self.name}:{line}" if line else self.name


def message(
    mistake: ErrorDetails, values: dict[Any, Any], schema: type[BaseModel], source: Source
) -> str:
    """Return the line for one ``mistake`` of ``values`` against ``schema``."""
    key = _without_tags(mistake["loc"], values)
    context = mistake.get("ctx", {})
    if mistake["type"] == "rule":  # a rule between two settings names the one at fault
        key = (*key, *context["key"])
    if mistake["type"].startswith("union_tag"):
        key = (*key, context["discriminator"].strip("'"))
    where = f"{source.where(key)}: {dotted(key)}"
    if mistake["type"] in UNKNOWN_KEY:
        known = _known_keys(mistake["loc"][:-1], schema)
        near = difflib.get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        return f"{where}: unknown key; {advice}"
    if mistake["type"] in ("missing", "union_tag_not_found"):
        is_item = isinstance(key[-1], int)
        return f"{where}: expected a value, got none; add the {'item' if is_item else 'key'}"
    got = context.get("got", context.get("tag", _value_at(values, key, mistake["input"])))
    return f"{where}: expected {_expected(mistake)}, got {shown(got)}"


_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "dict_type": "a mapping",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "dataclass_type": "a mapping of settings",
    "list_type": "a list",
    "tuple_type": "a list",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_too_short": "at least {min_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "rule": "{expected}",
}


def _expected(mistake: ErrorDetails) -> str:
    template = _EXPECTED.get(mistake["type"])
    if template is None:
        return mistake["msg"]
    return template.format_map(mistake.get("ctx", {}))


def _without_tags(loc: Key, values: object) -> Key:
    """Drop the union tags that pydantic mixes into a location: only keys and indices remain."""
    key: list[str | int] = []
    for index, part in enumerate(loc):
        if isinstance(values, dict):
            is_tag = part not in values and values.get("kind") == part and index < len(loc) - 1
            if is_tag:
                continue
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            values = None
        key.append(part)
    return tuple(key)


def _known_keys(loc: Key, schema: type[BaseModel]) -> list[str]:
    """Return the keys that the section at ``loc`` has, following unions by their tag."""
    node: dict[str, Any] = schema.model_json_schema()
    definitions = node.get("$defs", {})

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            part = definitions[part["$ref"].rsplit("/", 1)[1]]
        return part

    for part in loc:
        node = resolved(node)
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        elif "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
    return list(resolved(node).get("properties", {}))


def _value_at(values: object, key: Key, otherwise: object) -> object:
    """Return the value as it was written: pydantic reports 1 as 1.0 where it checks a range."""
    for part in key:
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not in_list and not (isinstance(values, dict) and part in values):
            return otherwise
        values = values[part]  # type: ignore[index]  # checked above
    return values


def dotted(key: Key) -> str:
    """Return ``key`` as it is written on the command line: ``data.train.0.count``."""
    return ".".join(text if (text := str(part)).isprintable() else repr(text) for part in key)


def shown(value: object) -> str:
    """Return what a message shows of a value that was got."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _line_of(node: yaml.Node | None, key: Key) -> int | None:
    """Return the line, from 1, of the deepest part of ``key`` that the file holds."""
    line = None
    for part in key:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == str(part):
                    line, child = name.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            child = node.value[part] if part < len(node.value) else None
            line = child.start_mark.line + 1 if child else line
        if child is None:
            return line
        node = child
    return line
