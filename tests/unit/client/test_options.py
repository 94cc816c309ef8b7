"""What a call sends: every option reaches its field, and mistakes are found before sending."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sterna import Message, Tool, ToolCall
from sterna._options import ChatOptions, chat_prompt, chat_spec, prompt_spec
from sterna.v1 import chat_pb2, generation_pb2

# A value for each option that differs from leaving it out, and where it must arrive.
ARRIVES: dict[str, tuple[Any, str, Any]] = {
    "model": ("m", "model_id", "m"),
    "adapter": ("a", "adapter_id", "a"),
    "session_id": ("s", "session_id", "s"),
    "store": (True, "storage.store", True),
    "previous_response_id": ("r", "storage.previous_response_id", "r"),
    "instructions": ("Be kind.", "storage.instructions", "Be kind."),
    "temperature": (0.0, "sampling.temperature", 0.0),
    "top_k": (0, "sampling.top_k", 0),
    "top_p": (0.5, "sampling.top_p", 0.5),
    "min_p": (0.25, "sampling.min_p", 0.25),
    "repetition_penalty": (1.5, "sampling.repetition_penalty", 1.5),
    "frequency_penalty": (0.5, "sampling.frequency_penalty", 0.5),
    "presence_penalty": (-0.5, "sampling.presence_penalty", -0.5),
    "seed": (-1, "sampling.seed", -1),
    "logit_bias": ({3: 0.5}, "sampling.logit_bias", {3: 0.5}),
    "max_tokens": (0, "stop.max_tokens", 0),
    "min_tokens": (2, "stop.min_tokens", 2),
    "stop": ("x", "stop.stop_strings", ["x"]),
    "stop_token_ids": ([1, 2], "stop.stop_token_ids", [1, 2]),
    "ignore_eos": (True, "stop.ignore_eos", True),
    "choice_count": (3, "choice_count", 3),
    "top_logprobs": (0, "logprobs.top_count", 0),
    "prompt_logprobs": (True, "logprobs.prompt", True),
    "echo": (True, "echo", True),
    "json_schema": ({"type": "object"}, "grammar.json_schema", '{"type": "object"}'),
    "json_object": (True, "grammar.json_object", generation_pb2.AnyJsonObject()),
    "regex": ("a+", "grammar.regex", "a+"),
    "choice": (["yes", "no"], "grammar.choice.texts", ["yes", "no"]),
    "lark": ('start: "a"', "grammar.lark", 'start: "a"'),
    "tools": (
        [Tool("add")],
        "chat.tools",
        [chat_pb2.Tool(name="add")],
    ),
    "tool_choice": ("required", "chat.tool_choice.mode", chat_pb2.ToolChoice.MODE_REQUIRED),
    "parallel_tool_calls": (False, "chat.parallel_tool_calls", False),
    "continue_final_message": (True, "chat.continue_final_message", True),
    "harness": ("search", "harness.harness", generation_pb2.HARNESS_SEARCH),
    "search_provider": (
        "brave",
        "harness.search_provider",
        generation_pb2.SEARCH_PROVIDER_BRAVE,
    ),
}


def test_every_option_is_covered() -> None:
    elsewhere = {"timeout", "keep_alive", "template_arguments"}
    assert ARRIVES.keys() | elsewhere == ChatOptions.__optional_keys__


@pytest.mark.parametrize("name", ARRIVES)
def test_an_option_reaches_its_field(name: str) -> None:
    value, path, expected = ARRIVES[name]
    spec = chat_spec("Hi", {name: value})
    parent: Any = spec
    *parents, last = path.split(".")
    for part in parents:
        parent = getattr(parent, part)
    found = getattr(parent, last)
    if isinstance(expected, list):
        found = list(found)
    assert found == expected
    if last in {"temperature", "top_k", "max_tokens", "json_object", "parallel_tool_calls"}:
        assert parent.HasField(last)
    assert spec != chat_spec("Hi", {})


def test_left_out_options_stay_unset() -> None:
    spec = chat_spec("Hi", {})
    for name in ("sampling", "logprobs", "grammar", "harness", "keep_alive"):
        assert not spec.HasField(name)
    assert not spec.stop.HasField("max_tokens")
    assert not spec.chat.HasField("parallel_tool_calls")


def test_none_is_as_absent() -> None:
    assert chat_spec("Hi", dict.fromkeys(ChatOptions.__optional_keys__)) == chat_spec("Hi", {})


def test_empty_grammars() -> None:
    assert chat_spec("Hi", {"json_schema": {}}).grammar.json_schema == "{}"
    assert not chat_spec("Hi", {"json_object": False}).HasField("grammar")


def test_template_arguments_and_keep_alive() -> None:
    spec = chat_spec("Hi", {"template_arguments": {"enable_thinking": False}, "keep_alive": 90})
    assert dict(spec.chat.template_arguments) == {"enable_thinking": False}
    assert spec.keep_alive.ToTimedelta() == timedelta(seconds=90)


def test_raw_prompts() -> None:
    assert prompt_spec("Once", {}).text.text == "Once"
    assert list(prompt_spec([5, 6], {}).tokens.token_ids) == [5, 6]
    assert prompt_spec("", {}).WhichOneof("prompt") == "text"


def test_messages_in_every_form() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    as_mappings = chat_prompt(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "1+"}, {"text": "1?"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ]
    )
    assert [m.role for m in as_mappings.messages] == [
        chat_pb2.ROLE_SYSTEM,
        chat_pb2.ROLE_USER,
        chat_pb2.ROLE_ASSISTANT,
        chat_pb2.ROLE_TOOL,
    ]
    assert [part.text for part in as_mappings.messages[1].content] == ["1+", "1?"]
    as_dataclasses = chat_prompt(
        [
            Message("assistant", tool_calls=(ToolCall("c1", "add", "{}"),)),
            Message("tool", "2", tool_call_id="c1"),
        ]
    )
    assert list(as_dataclasses.messages) == list(as_mappings.messages[2:])


def test_a_tool_in_both_forms() -> None:
    parameters = {"type": "object", "properties": {"b": {}, "a": {}}}
    function = {"name": "add", "description": "Adds.", "parameters": parameters, "strict": True}
    tool = Tool("add", "Adds.", parameters, strict=True)
    both = chat_prompt("Hi", [tool, {"type": "function", "function": function}]).tools
    assert both[0] == both[1]
    # The order of properties is part of the schema.
    assert list(json.loads(both[0].parameters_schema)["properties"]) == ["b", "a"]


def test_a_named_tool() -> None:
    choice = chat_spec("Hi", {"tool_choice": "add"}).chat.tool_choice
    assert (choice.mode, choice.tool_name) == (chat_pb2.ToolChoice.MODE_NAMED, "add")


def test_mistakes_say_what_is_possible() -> None:
    with pytest.raises(TypeError, match="unknown option: temprature"):
        prompt_spec("Hi", {"temprature": 1})
    with pytest.raises(TypeError, match="unknown option: tools"):
        prompt_spec("Hi", {"tools": [Tool("add")]})
    with pytest.raises(ValueError, match="only one of these can constrain the text: regex, lark"):
        prompt_spec("Hi", {"regex": "a", "lark": "b"})
    with pytest.raises(ValueError, match="role must be one of system, developer, user, assistant"):
        chat_prompt([{"role": "robot", "content": "Hi"}])
    with pytest.raises(ValueError, match="a message needs a role"):
        chat_prompt([{"content": "Hi"}])
    with pytest.raises(ValueError, match="harness must be one of default, search, not 'x'"):
        chat_spec("Hi", {"harness": "x"})
