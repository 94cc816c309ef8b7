"""Tools: what is valid, how they are shown to a model, which answers a grammar allows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sterna_service.errors import Reason, ServiceError
from sterna_service.inference.chat_template import ChatTemplate
from sterna_service.inference.grammar import AnyJsonObject, GrammarCompiler, JsonSchema, Regex
from sterna_service.inference.json_bounds import bounded
from sterna_service.inference.prompt import PromptEncoder
from sterna_service.inference.spec import ChatPrompt, Message, Tool, ToolCall, ToolMode
from sterna_service.inference.tokenizer import Tokenizer
from sterna_service.inference.tools import call_text, check_tools, tool_grammar

CITY = json.dumps(
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
WEATHER = Tool("weather", "The weather in a city", CITY)
TIME = Tool("time")
ASK = Message("user", "What is the weather in Rome?")
BOTH = ChatPrompt([ASK], tools=[WEATHER, TIME])
IN_ROME = call_text("weather", '{"city": "Rome"}')
NOW = call_text("time", "{}")

KNOWING = ChatTemplate(
    {
        "default": "{% for tool in tools or [] %}TOOL {{ tool | tojson }}\n{% endfor %}"
        "{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments.city }}"
        "{% endfor %}{% if m.tool_call_id %} FOR {{ m.tool_call_id }}{% endif %}{{ '\n' }}"
        "{% endfor %}"
    }
)


@pytest.fixture(scope="session")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer, 4096)


def allows(
    compiler: GrammarCompiler,
    tokenizer: Tokenizer,
    prompt: ChatPrompt,
    text: str,
    answer: Any = None,
    room: int = 700,
) -> bool:
    """Whether a model may say `text`, and then end."""
    grammar = tool_grammar(prompt, answer, compiler.problem, room, "spec")
    guide = compiler.compile(grammar, 1, "spec.chat.tools")[0]
    for token in [*tokenizer.encode_plain(text), min(tokenizer.end_tokens)]:
        if not guide.mask()[token // 8] >> token % 8 & 1:
            return False
        if token not in tokenizer.end_tokens:
            guide.accept(token)
    return True


@pytest.mark.parametrize(
    ("text", "auto", "single", "required", "named"),
    [
        ("I do not know.", True, True, False, False),
        ("", True, True, False, False),
        ("It is <tool_ca", True, True, False, False),
        (IN_ROME, True, True, True, True),
        (NOW, True, True, True, False),
        (f"Let me see.\n{IN_ROME}", True, True, False, False),
        (f"{IN_ROME}\n{NOW}", True, False, True, False),
        (f"{IN_ROME} Done.", False, False, False, False),
        (call_text("weather", '{"town": "Rome"}'), False, False, False, False),
        (call_text("weather", "{}"), False, False, False, False),
        (call_text("nothing", "{}"), False, False, False, False),
        ("<tool_call>\n{", False, False, False, False),
    ],
)
def test_what_a_model_may_say(
    compiler: GrammarCompiler,
    tokenizer: Tokenizer,
    text: str,
    auto: bool,
    single: bool,
    required: bool,
    named: bool,
) -> None:
    def allowed(**changes: Any) -> bool:
        return allows(compiler, tokenizer, replace(BOTH, **changes), text)

    assert allowed() == auto
    assert allowed(parallel_tool_calls=False) == single
    assert allowed(tool_mode=ToolMode.REQUIRED) == required
    assert allowed(tool_mode=ToolMode.NAMED, tool_name="weather") == named


def test_an_answer_in_json_or_a_call(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    for text, fits in (('{"a": 1}', True), (IN_ROME, True), ("Hello", False)):
        assert allows(compiler, tokenizer, BOTH, text, AnyJsonObject()) == fits
    schema = JsonSchema('{"type": "integer"}')
    assert allows(compiler, tokenizer, BOTH, "7", schema)
    assert not allows(compiler, tokenizer, BOTH, '{"a": 1}', schema)
    with pytest.raises(ServiceError, match="cannot be combined with tools"):
        allows(compiler, tokenizer, BOTH, "", Regex("a"))
    forced = replace(BOTH, tool_mode=ToolMode.REQUIRED)
    with pytest.raises(ServiceError, match="must call a tool"):
        allows(compiler, tokenizer, forced, "", schema)


def test_a_schema_that_cannot_be_compiled(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    properties = {"a": {"type": "integer", "if": {}}, "b": {"type": "string", "format": "poem"}}
    odd = json.dumps({"type": "object", "properties": properties, "required": ["a"]})
    lenient = replace(BOTH, tools=[Tool("odd", parameters_schema=odd)])
    # What is known of it still holds.
    assert allows(compiler, tokenizer, lenient, call_text("odd", '{"a": 1, "b": "x"}'))
    assert not allows(compiler, tokenizer, lenient, call_text("odd", '{"a": "x"}'))
    strict = replace(BOTH, tools=[TIME, Tool("odd", parameters_schema=odd, strict=True)])
    with pytest.raises(ServiceError) as caught:
        allows(compiler, tokenizer, strict, "")
    assert caught.value.reason is Reason.GRAMMAR_INVALID
    assert caught.value.field == "spec.chat.tools[1].parameters_schema"
    broken = json.dumps({"type": "object", "properties": {"a": {"enum": 5}}})
    anything = replace(BOTH, tools=[Tool("odd", parameters_schema=broken)])
    assert allows(compiler, tokenizer, anything, call_text("odd", '{"c": [1]}'))


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (replace(BOTH, tools=[Tool("")]), "chat.tools[0].name"),
        (replace(BOTH, tools=[Tool("get weather")]), "chat.tools[0].name"),
        (replace(BOTH, tools=[TIME, TIME]), "chat.tools[1].name"),
        (replace(BOTH, tools=[Tool(f"t{i}") for i in range(129)]), "chat.tools"),
        (
            replace(BOTH, tools=[Tool("a", parameters_schema="{")]),
            "chat.tools[0].parameters_schema",
        ),
        (
            replace(BOTH, tools=[Tool("a", parameters_schema='{"type": "array"}')]),
            "chat.tools[0].parameters_schema",
        ),
        (
            replace(BOTH, tools=[Tool("a", parameters_schema='"x"')]),
            "chat.tools[0].parameters_schema",
        ),
        (
            replace(BOTH, tools=[Tool("a", parameters_schema='{"a": "' + "x" * 131_072 + '"}')]),
            "chat.tools",
        ),
        (replace(BOTH, tools=[], tool_mode=ToolMode.REQUIRED), "chat.tool_choice"),
        (replace(BOTH, tool_mode=ToolMode.NAMED, tool_name="x"), "chat.tool_choice.tool_name"),
        (replace(BOTH, tool_mode=ToolMode.NAMED), "chat.tool_choice.tool_name"),
        (replace(BOTH, tool_name="time"), "chat.tool_choice.tool_name"),
    ],
)
def test_what_is_refused(prompt: ChatPrompt, field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_tools(prompt, "chat")
    assert caught.value.field == field


def test_a_template_without_tools_gets_plain_messages(encoder: PromptEncoder) -> None:
    call = ToolCall("call_1", "weather", '{"city": "Rome"}')
    history = [
        Message("system", "Be brief."),
        ASK,
        Message("assistant", "One moment.", tool_calls=[call]),
        Message("tool", "Sunny", tool_call_id="call_1"),
        Message("tool", "24 degrees", tool_call_id="call_1"),
    ]
    text = encoder.encode(replace(BOTH, messages=history), "").text or ""
    assert text.startswith("<|begin_of_text|>System: Be brief.\n\nYou can call these tools:\n")
    assert '{"name": "weather", "description": "The weather in a city", "parameters": ' in text
    assert f"Assistant: One moment.\n{IN_ROME}<|eot_id|>User: <tool_response>\nSunny" in text
    assert "24 degrees\n</tool_response><|eot_id|>Assistant: " in text
    assert text.count("User: ") == 2
    # Nothing is on offer, but what was said stays said.
    silent = replace(BOTH, messages=history, tool_mode=ToolMode.NONE)
    text = encoder.encode(silent, "").text or ""
    assert "You can call" not in text
    assert IN_ROME in text


def test_a_template_with_tools_shows_them_itself(tokenizer: Tokenizer) -> None:
    encoder = PromptEncoder("m", tokenizer, KNOWING, 4096)
    call = ToolCall("call_1", "weather", '{"city": "Rome <|eot_id|>"}')
    history = [
        ASK,
        Message("assistant", "", tool_calls=[call]),
        Message("tool", "Sunny", tool_call_id="call_1"),
    ]
    encoded = encoder.encode(replace(BOTH, messages=history), "")
    assert (encoded.text or "").splitlines() == [
        'TOOL {"type": "function", "function": {"name": "weather", "description": '
        f'"The weather in a city", "parameters": {CITY}}}}}',
        'TOOL {"type": "function", "function": {"name": "time", "description": "", "parameters": '
        '{"type": "object", "properties": {}, "additionalProperties": false}}}',
        "user: What is the weather in Rome?",
        "assistant: <tool_call>Rome <|eot_id|>",
        "tool: Sunny FOR call_1",
    ]
    # What a call spelled did not become a control token.
    assert not set(encoded.token_ids) & tokenizer.end_tokens


def test_where_room_is_short_values_get_limits() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["integer", "null"]},
            "f": {"type": "number", "minimum": 0},
            "c": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "d": {"type": "string", "enum": ["x"]},
            "e": {"anyOf": [{"type": "string", "pattern": "a+"}, {"type": "string"}]},
        },
    }
    limited = bounded(schema, 400)["properties"]
    assert 16 <= limited["a"]["maxLength"] < 400
    assert limited["b"]["maximum"] == -limited["b"]["minimum"] == 2**53 - 1
    assert limited["f"] == {"type": "number", "minimum": 0, "maximum": 10**9, "multipleOf": 1e-6}
    assert limited["c"] == {**schema["properties"]["c"], "maxItems": 8}  # type: ignore[index]
    assert limited["d"] == {"type": "string", "enum": ["x"]}
    assert limited["e"]["anyOf"][0] == {"type": "string", "pattern": "a+"}
    assert "maxLength" in limited["e"]["anyOf"][1]
    assert bounded(schema, 100_000) is schema


def closed(schema: dict[str, Any]) -> Any:
    return bounded(schema, 400)


def test_objects_are_closed_only_where_nothing_else_adds_members() -> None:
    one = {"type": "object", "properties": {"a": {"type": "boolean"}}}
    two = {"type": "object", "properties": {"b": {"type": "boolean"}}}
    assert closed(one)["additionalProperties"] is False
    assert closed(one | {"additionalProperties": {"type": "boolean"}})["additionalProperties"] == {
        "type": "boolean"
    }
    both = closed({"allOf": [one, two]})
    assert all("additionalProperties" not in part for part in both["allOf"])
    either = closed({"anyOf": [one, two]})
    assert all(part["additionalProperties"] is False for part in either["anyOf"])
    beside = closed(one | {"anyOf": [two]})
    assert "additionalProperties" not in beside
    assert "additionalProperties" not in beside["anyOf"][0]
