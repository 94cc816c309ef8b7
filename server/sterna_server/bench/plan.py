"""What to measure: lengths, streams, threads and the settings to compare."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sterna_server.errors import CommandError
from sterna_service.engine.types import EngineOptions

PARTS = ("decode", "prefill", "batched", "first-token", "fairness")

# The prompt before a stream that is measured alone: short, because decoding is what counts.
DECODE_PROMPT = 16

# The most tokens by which the first of several streams may be ahead of the last.
LONGEST_LEAD = 64

# Set by the measurements themselves, or a matter of what is packed.
_OWN_OPTIONS = ("threads", "max_batch", "max_queue", "kv_cache_tokens", "head_precision")
_TRUTH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the benchmark. Lengths are in tokens."""

    parts: tuple[str, ...] = PARTS
    threads: tuple[int, ...] = (1,)
    prompt: int = 512
    """Of the prefill."""
    generate: int = 128
    """Of the decoding of one stream."""
    streams: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    batched_prompt: int = 128
    batched_generate: int = 64
    prefix: int = 2000
    """Of the prompt whose beginning is found in the prefix cache."""
    fairness_streams: int = 4
    fairness_prompt: int = 1000
    """Of the prompt that arrives while the streams decode."""
    rounds: int = 5
    variants: tuple[Variant, ...] = ()
    """Settings to compare with the first one; in each round all of them take turns."""

    def fit(self, context_length: int) -> Plan:
        """The same with prompts and answers that a context of that many tokens can hold."""
        # Of several streams the first to start decode some tokens more, see `measure_batched`.
        room = context_length - LONGEST_LEAD
        generate = max(2, min(self.generate, room - DECODE_PROMPT))
        batched_generate = max(2, min(self.batched_generate, room // 2))
        return replace(
            self,
            prompt=max(1, min(self.prompt, context_length - 1)),
            generate=generate,
            batched_prompt=max(1, min(self.batched_prompt, room - batched_generate)),
            batched_generate=batched_generate,
            prefix=max(1, min(self.prefix, context_length - 2)),
            fairness_prompt=max(1, min(self.fairness_prompt, context_length // 2)),
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """Engine options that differ from the defaults, and what to call them in the table."""

    name: str
    changes: tuple[tuple[str, Any], ...]

    def apply(self, options: EngineOptions) -> EngineOptions:
        return replace(options, **dict(self.changes))


DEFAULTS = Variant("defaults", ())


def parse_variant(text: str) -> Variant:
    """Reads `name=value,name=value`; names are those of `EngineOptions`.

    Raises:
        CommandError: A name is unknown, or a value is of the wrong kind.
    """
    kinds = get_type_hints(EngineOptions)
    known = [f.name for f in fields(EngineOptions) if f.name not in _OWN_OPTIONS]
    changes = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in known:
            raise CommandError(
                f"--variant: {part!r} is not NAME=VALUE with one of these names: {', '.join(known)}"
            )
        changes.append((name, _parse_value(name, value.strip(), kinds[name])))
    if not changes:
        raise CommandError("--variant: name at least one setting, for example prefix_cache=off")
    return Variant(text.replace(" ", ""), tuple(changes))


def _parse_value(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return _TRUTH[text.lower()]
        if get_origin(kind) is Literal:
            return {choice: choice for choice in get_args(kind)}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        if get_origin(kind) is Literal:
            expected = " or ".join(get_args(kind))
        else:
            expected = "on or off" if kind is bool else f"of type {kind.__name__}"
        raise CommandError(f"--variant: {name} should be {expected}; got {text!r}") from None


def parse_numbers(flag: str, text: str, *, least: int, most: int) -> tuple[int, ...]:
    """Reads `1,2,4`.

    Raises:
        CommandError: Something is no number or out of range.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise CommandError(
            f"{flag}: should be numbers with commas between, such as 1,2,4; got {text!r}"
        ) from None
    for number in numbers:
        if not least <= number <= most:
            raise CommandError(f"{flag}: should be {least} to {most}; got {number}")
    return numbers


def parse_parts(text: str) -> tuple[str, ...]:
    """Reads `decode,prefill`.

    Raises:
        CommandError: A part is unknown.
    """
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        if part not in PARTS:
            raise CommandError(f"--only: there is no part {part!r}; there are: {', '.join(PARTS)}")
    return parts
