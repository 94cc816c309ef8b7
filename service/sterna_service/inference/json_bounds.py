"""Keeps JSON that must match a schema within the tokens that are left.

A small model that must fill a text or a number of any length, or may add members to an object, may
go on until the answer is cut off, and then it is no valid JSON. So where room is short, whatever
has no limit of its own gets one. A value within the limits also satisfies the original schema.
"""

from __future__ import annotations

import json
from typing import Any

# With this many characters for each text there is no need to interfere.
_PLENTY = 4096
_SHORTEST = 16
_MOST_ITEMS = 8
# Whole numbers that every JSON reader keeps exactly.
_LARGEST = 2**53 - 1
_LARGEST_FRACTION = 10**9
_SMALLEST_STEP = 1e-6
_NUMBER_CHARACTERS = 20
_LONGEST_NAME = 32
_COMBINED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SIZED = ("enum", "const", "maxLength", "pattern", "format", "$ref")

# Beside these, an object may have members that it does not list itself.
_MERGED = ("allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas")

# Keywords that say what a value looks like; without any of them it may be anything.
_SHAPING = ("type", "properties", "enum", "const", "$ref", "not", "if", *_COMBINED)


def bounded(schema: dict[str, Any], room: int) -> dict[str, Any]:
    """A schema whose values have about `room` characters at most; the same one if that is enough,
    or if a keyword does not hold what it should, which is for the compiler to say."""
    try:
        fixed, texts = _Measure(schema).of(schema)
        longest = (room - fixed) // max(1, texts)
        if longest > _PLENTY:
            return schema
        limited: dict[str, Any] = _limit(schema, max(longest, _SHORTEST))
    except (ArithmeticError, AttributeError, TypeError, ValueError, RecursionError):
        return schema
    return limited


def _types(schema: dict[str, Any]) -> list[str]:
    declared = schema.get("type", [])
    return declared if isinstance(declared, list) else [declared]


class _Measure:
    """How long the values of a schema may become."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._definitions = {
            f"#/{keyword}/{name}": part
            for keyword in ("$defs", "definitions")
            if isinstance(root.get(keyword), dict)
            for name, part in root[keyword].items()
        }
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, schema: Any) -> tuple[int, int]:
        """Characters of a value besides its texts, and how many texts there are, at most."""
        if _is_anything(schema):
            return 0, 1
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            return max((len(json.dumps(value)) for value in values), default=0), 0
        fixed, texts = _NUMBER_CHARACTERS, 0
        types = _types(schema)
        if "string" in types:
            fixed, texts = fixed + int(schema.get("maxLength", 0)), int("maxLength" not in schema)
        for name, part in schema.get("properties", {}).items():
            more_fixed, more_texts = self.of(part)
            fixed += len(name) + 6 + more_fixed
            texts += more_texts
        if _is_open(schema):
            fixed += _MOST_ITEMS * (_LONGEST_NAME + 6)
            texts += _MOST_ITEMS
        if "array" in types:
            item_fixed, item_texts = self.of(schema.get("items"))
            count = int(schema.get("maxItems", _MOST_ITEMS))
            fixed += (item_fixed + 2) * count
            texts += item_texts * count
        parts = [part for keyword in _COMBINED for part in schema.get(keyword, ())]
        for more_fixed, more_texts in (*map(self.of, parts), self._referenced(schema)):
            fixed += more_fixed
            texts += more_texts
        return fixed, texts

    def _referenced(self, schema: dict[str, Any]) -> tuple[int, int]:
        name = schema.get("$ref")
        if not isinstance(name, str) or name not in self._definitions:
            return 0, 0
        if name not in self._known:
            # What refers to itself counts once: how deep it goes is the model's choice.
            self._known[name] = (0, 0)
            self._known[name] = self.of(self._definitions[name])
        return self._known[name]


def _is_anything(schema: Any) -> bool:
    """Whether a schema allows every JSON value."""
    return not isinstance(schema, dict) or not any(keyword in schema for keyword in _SHAPING)


def _is_open(schema: dict[str, Any]) -> bool:
    """Whether an object may have members of any name, and has no other members."""
    if "object" not in _types(schema) or schema.get("additionalProperties") is False:
        return False
    return not any(schema.get(keyword) for keyword in ("properties", "patternProperties"))


def _lists_its_members(schema: dict[str, Any]) -> bool:
    """Whether an object needs no members but those that it names itself."""
    return (
        any(keyword in schema for keyword in ("properties", "patternProperties"))
        and not any(keyword in schema for keyword in _MERGED)
        # These were meant to be used.
        and not isinstance(schema.get("additionalProperties"), dict)
    )


def _limit(schema: Any, longest: int, *, close: bool = True) -> Any:
    """`close` says whether an object that lists its members may have no others."""
    if schema is False:
        return schema
    if _is_anything(schema):
        return {"type": ["string", "boolean", "null"], "maxLength": longest}
    limited = dict(schema)
    types = _types(schema)
    if "string" in types and not any(keyword in schema for keyword in _SIZED):
        limited["maxLength"] = max(longest, int(schema.get("minLength", 0)))
    if ("integer" in types or "number" in types) and not ("enum" in schema or "const" in schema):
        _limit_number(limited, "number" in types)
    if "array" in types:
        limited.setdefault("maxItems", max(_MOST_ITEMS, int(schema.get("minItems", 0))))
        limited["items"] = _limit(schema.get("items", True), longest)
    for keyword in ("properties", "patternProperties", "$defs", "definitions"):
        if isinstance(schema.get(keyword), dict):
            limited[keyword] = {
                name: _limit(part, longest) for name, part in schema[keyword].items()
            }
    if _is_open(schema):
        # Names have a length, too.
        value = _limit(schema.get("additionalProperties", True), longest)
        limited["patternProperties"] = {f"^[A-Za-z0-9_ -]{{1,{_LONGEST_NAME}}}$": value}
        limited.setdefault("maxProperties", max(_MOST_ITEMS, int(schema.get("minProperties", 0))))
        limited["additionalProperties"] = False
    elif close and _lists_its_members(schema):
        limited["additionalProperties"] = False
    for keyword in _COMBINED:
        if isinstance(schema.get(keyword), list):
            # What stands beside them holds for the same object.
            alone = keyword in ("anyOf", "oneOf") and "properties" not in schema
            limited[keyword] = [
                _limit(part, longest, close=close and (alone or keyword == "prefixItems"))
                for part in schema[keyword]
            ]
    return limited


def _limit_number(schema: dict[str, Any], with_fraction: bool) -> None:
    largest = _LARGEST
    if with_fraction:
        # Without a step the digits behind the point would never end.
        schema.setdefault("multipleOf", _SMALLEST_STEP)
        largest = _LARGEST_FRACTION
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        schema["minimum"] = -largest if high is None else min(-largest, high - largest)
    if high is None:
        schema["maximum"] = largest if low is None else max(largest, low + largest)
