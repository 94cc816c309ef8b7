"""Guesses and forced tokens change the time of an answer, never the answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sterna_service.engine.types import EngineOptions, EngineStats, Speculation
from sterna_service.inference.events import ChoiceFinished, Delta, Usage
from sterna_service.inference.generation import generate
from sterna_service.inference.grammar import (
    AnyJsonObject,
    GrammarCompiler,
    JsonSchema,
    OneOf,
    OutputGrammar,
    Regex,
)
from sterna_service.inference.loaded_model import LoadedModel, load_model
from sterna_service.inference.spec import (
    GenerationSpec,
    LogprobOptions,
    SamplingParams,
    StopCriteria,
    TextPrompt,
)
from sterna_service.inference.tokenizer import Tokenizer

LONG_KEYS = json.dumps(
    {
        "type": "object",
        "properties": {
            "customer_identification_number": {"type": "integer", "maximum": 999},
            "preferred_shipping_address": {"type": "string", "maxLength": 12},
            "payment_was_successful": {"type": "boolean"},
        },
        "required": [
            "customer_identification_number",
            "preferred_shipping_address",
            "payment_was_successful",
        ],
        "additionalProperties": False,
    }
)
GRAMMARS: list[OutputGrammar] = [
    JsonSchema(LONG_KEYS),
    JsonSchema(
        '{"type": "array", "items": {"enum": ["a long constant", 12345678]}, "maxItems": 5}'
    ),
    AnyJsonObject(),
    Regex(r"The answer is exactly [0-9]{2,4}, \(said (Alice|Bob|nobody at all)\)\."),
    OneOf(["yes, certainly", "yes, perhaps", "no"]),
]


@dataclass
class Choice:
    """All that is said of one choice."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    finished: ChoiceFinished | None = None


Answer = tuple[dict[int, Choice], int]


async def answer(model: LoadedModel, spec: GenerationSpec) -> Answer:
    choices: dict[int, Choice] = {}
    completion_tokens = 0
    async with aclosing(generate(model, spec)) as events:
        async for event in events:
            match event:
                case Delta():
                    choice = choices.setdefault(event.choice, Choice())
                    choice.text += event.text
                    choice.token_ids += event.token_ids
                    choice.logprobs += event.logprobs
                case ChoiceFinished():
                    choices.setdefault(event.choice, Choice()).finished = event
                case Usage():
                    completion_tokens = event.completion_tokens
    return choices, completion_tokens


def run(
    checkpoint: Path, home: Path, specs: list[GenerationSpec], speculation: Speculation
) -> tuple[list[Answer], EngineStats]:
    """Answers all specs at the same time, on an engine of their own."""

    async def run_all() -> tuple[list[Answer], EngineStats]:
        options = EngineOptions(threads=1, speculation=speculation, max_draft_tokens=5)
        model = await load_model("test/model", checkpoint, home, options)
        try:
            answers = await asyncio.gather(*(answer(model, spec) for spec in specs))
            return answers, model.port.stats()
        finally:
            await model.port.close()

    return asyncio.run(run_all())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keeps the packed model from one engine to the next."""
    return tmp_path_factory.mktemp("home")


WORDS = st.sampled_from(["one", "two ", "red, ", "blue; ", "(x + y) ", "\n", "{", "the cat "])
TEXTS = st.builds(
    lambda words, times: "".join(words) * times,
    st.lists(WORDS, min_size=1, max_size=6),
    st.integers(1, 12),
)
SAMPLING = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0]),
    top_p=st.sampled_from([None, 0.8]),
    top_k=st.sampled_from([None, 5]),
    repetition_penalty=st.sampled_from([None, 1.2]),
    presence_penalty=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 2**32),
    logit_bias=st.dictionaries(st.integers(10, 300), st.floats(-5, 8), max_size=3),
)
STOPS = st.builds(
    StopCriteria,
    max_tokens=st.integers(1, 60),
    stop_strings=st.lists(st.sampled_from(["a", " the", '":', "ss"]), max_size=1),
    stop_token_ids=st.lists(st.integers(4, 400), max_size=3),
    ignore_eos=st.booleans(),
)
SPECS = st.builds(
    GenerationSpec,
    prompt=st.builds(TextPrompt, TEXTS),
    sampling=SAMPLING,
    stop=STOPS,
    choice_count=st.integers(1, 3),
    logprobs=st.none() | st.builds(LogprobOptions, top_count=st.integers(0, 3)),
    grammar=st.none() | st.sampled_from(GRAMMARS),
)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(specs=st.lists(SPECS, min_size=1, max_size=6))
def test_the_answer_is_the_same(checkpoint: Path, home: Path, specs: list[GenerationSpec]) -> None:
    plain, stats = run(checkpoint, home, specs, "off")
    assert stats.drafted_tokens == 0
    for speculation in ("auto", "always"):
        assert run(checkpoint, home, specs, speculation)[0] == plain


def test_what_a_grammar_forces_takes_fewer_steps(checkpoint: Path, home: Path) -> None:
    spec = GenerationSpec(
        prompt=TextPrompt("An order."),
        sampling=SamplingParams(temperature=0.8, seed=3),
        stop=StopCriteria(max_tokens=200),
        grammar=JsonSchema(LONG_KEYS),
    )
    (plain,), stats = run(checkpoint, home, [spec], "off")
    (jumping,), fewer = run(checkpoint, home, [spec], "auto")
    assert jumping == plain
    assert plain[0][0].finished is not None
    json.loads(plain[0][0].text)
    # Most of the tokens are keys.
    assert fewer.steps < 0.6 * stats.steps
    # The logits of a token whose log-probability is wanted must be computed.
    with_logprobs = replace(spec, logprobs=LogprobOptions(top_count=2))
    assert (
        run(checkpoint, home, [with_logprobs], "auto")[0]
        == (run(checkpoint, home, [with_logprobs], "off")[0])
    )


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_forced_tokens_are_those_of_masks_with_one_token(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    compiler = GrammarCompiler(tokenizer, 4096)
    grammar = data.draw(st.sampled_from(GRAMMARS))
    plain, jumping = compiler.compile(grammar, 2, "grammar")
    ends = tokenizer.end_tokens
    for _ in range(60):
        forced, mask = jumping.next(data.draw(st.integers(0, 64)))
        for token in forced:
            allowed = int.from_bytes(plain.mask(), "little")
            assert allowed == 1 << token
            if token in ends:
                return
            plain.accept(token)
        assert plain.mask() == mask
        bits = int.from_bytes(mask, "little")
        tokens = [token for token in range(4096) if bits >> token & 1]
        token = data.draw(st.sampled_from(tokens[:50]))
        if token in ends:
            return
        plain.accept(token)
        jumping.accept(token)
