"""Ten JSON schemas as applications send them, each with a question that it goes with."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}

SCHEMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "capital": (
        "What is the capital of France?",
        {
            "type": "object",
            "properties": {"city": _TEXT, "certain": {"type": "boolean"}},
            "required": ["city", "certain"],
            "additionalProperties": False,
        },
    ),
    "person": (
        "Tell me about a person.",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 40},
                "age": {"type": "integer", "minimum": 0, "maximum": 130},
                "email": {"type": ["string", "null"]},
            },
            "required": ["name", "age", "email"],
        },
    ),
    "sentiment": (
        "I love terns. Is that a happy sentence?",
        {
            "type": "object",
            "properties": {
                "label": {"enum": ["positive", "neutral", "negative"]},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "required": ["label", "score"],
            "additionalProperties": False,
        },
    ),
    "list": (
        "Name some birds.",
        {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 5},
    ),
    "unbounded list": ("Name some colours.", {"type": "array", "items": _TEXT}),
    "references": (
        "Where do Ann and Bob live?",
        {
            "type": "object",
            "$defs": {
                "address": {
                    "type": "object",
                    "properties": {"street": _TEXT, "number": {"type": "integer"}},
                    "required": ["street", "number"],
                }
            },
            "properties": {
                "ann": {"$ref": "#/$defs/address"},
                "bob": {"$ref": "#/$defs/address"},
            },
            "required": ["ann", "bob"],
        },
    ),
    "union": (
        "Draw something.",
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
                    "required": ["kind", "radius"],
                },
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "square"},
                        "side": {"type": "number"},
                        "label": _TEXT,
                    },
                    "required": ["kind", "side"],
                },
            ]
        },
    ),
    "nested": (
        "Write a recipe.",
        {
            "type": "object",
            "properties": {
                "title": _TEXT,
                "steps": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"do": _TEXT, "minutes": {"type": "integer"}},
                        "required": ["do"],
                    },
                },
            },
            "required": ["title", "steps"],
        },
    ),
    "formats": (
        "When was the server built?",
        {
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date"},
                "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
            },
            "required": ["day", "id"],
            "additionalProperties": False,
        },
    ),
    "map": (
        "How many of each fruit are there?",
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ),
}
