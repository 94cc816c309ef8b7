"""From a prompt to tokens, such that nobody but the template can write control tokens.

A conversation is rendered as text and the text is tokenized as a whole, as everywhere: only then
are the tokens those that the model was trained on. If a message spells a control token, that
spelling stays ordinary text. For that the spelling is replaced by a private character before the
template runs; afterwards the stretches of text that hold such characters are put right and
tokenized on their own, with control tokens switched off. The text between two control tokens of
the template is never affected by what lies beyond them, so everything else stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sterna_service.errors import Reason, ServiceError, invalid, out_of_range, unsupported
from sterna_service.inference.chat_template import ChatTemplate, TemplateError
from sterna_service.inference.spec import (
    ChatPrompt,
    Message,
    Prompt,
    TextPrompt,
    TokenPrompt,
    ToolCall,
)
from sterna_service.inference.tokenizer import Tokenizer
from sterna_service.inference.tool_prompt import in_plain_messages, speaks_of_tools
from sterna_service.inference.tools import check_tools, offers_tools, tool_documents

# A plane of private characters: no text that means something holds them.
_PRIVATE = range(0xF0000, 0xFFFFE)

_RESERVED_ARGUMENTS = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"}
)


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """The tokens of a prompt, and its text unless it was given as tokens."""

    token_ids: Sequence[int]
    text: str | None
    end_tokens: frozenset[int] = frozenset()
    """What ends the answer to this prompt, besides the end tokens of the model."""


class PromptTooLongError(Exception):
    """A prompt surely has more tokens than were allowed; `least` is how many at least."""

    def __init__(self, least: int) -> None:
        super().__init__(f"at least {least} tokens")
        self.least = least


class PromptEncoder:
    """Encodes prompts for one model."""

    def __init__(
        self,
        model_id: str,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        vocabulary_size: int,
    ) -> None:
        self._model_id = model_id
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._template = template
        self._guard = ControlTokenGuard(tokenizer)

    def encode(self, prompt: Prompt, prefix: str, most_tokens: int | None = None) -> EncodedPrompt:
        """Tokenizes a prompt; `prefix` is what stands before its field in the request: `spec.`.

        With `most_tokens`, a prompt that is far too long is not even looked at.

        Raises:
            ServiceError: The prompt is empty or malformed, the model has no template, or the
                template refuses the conversation.
            PromptTooLongError: The prompt has more than `most_tokens`, as its length shows.
        """
        match prompt:
            case ChatPrompt():
                return self._encode_chat(prompt, f"{prefix}chat", most_tokens)
            case TextPrompt():
                return self._encode_text(prompt, f"{prefix}text", most_tokens)
            case TokenPrompt():
                return self._encode_tokens(prompt, f"{prefix}tokens", most_tokens)

    def _check_length(self, text: str, most_tokens: int | None) -> None:
        # Twice as long as the tokens can be: a normalizer may make text shorter.
        least = len(text) // (2 * self._tokenizer.longest_token)
        if most_tokens is not None and least > most_tokens:
            raise PromptTooLongError(least)

    def _encode_text(
        self, prompt: TextPrompt, field: str, most_tokens: int | None
    ) -> EncodedPrompt:
        self._check_length(prompt.text + prompt.suffix, most_tokens)
        if prompt.suffix:
            return self._encode_gap(prompt, field)
        ids = self._tokenizer.encode(prompt.text, add_special_tokens=prompt.add_special_tokens)
        bos = self._tokenizer.bos_token_id
        if not ids and bos is not None and prompt.add_special_tokens is not False:
            ids = [bos]
        if not ids:
            raise invalid(f"{field}.text", "must not be empty: this model has no begin token")
        return EncodedPrompt(ids, prompt.text)

    def _encode_gap(self, prompt: TextPrompt, field: str) -> EncodedPrompt:
        infill = self._tokenizer.infill
        if infill is None:
            problem = "cannot be honoured: this model was not trained to fill gaps"
            raise unsupported(f"{field}.suffix", problem, self._model_id)
        begin = self._tokenizer.encode("", add_special_tokens=prompt.add_special_tokens)
        # Without text, some tokenizers add an end, too.
        begin = [id for id in begin if id == self._tokenizer.bos_token_id]
        # What somebody wrote is text here, whatever it looks like.
        texts = (prompt.text, prompt.suffix)
        private = self._guard.private_characters(iter(texts))
        parts = (self._guard.encode(private.hide(text), private) for text in texts)
        return EncodedPrompt([*begin, *infill.arrange(*parts)], prompt.text, infill.ends)

    def _encode_tokens(
        self, prompt: TokenPrompt, field: str, most_tokens: int | None
    ) -> EncodedPrompt:
        field = f"{field}.token_ids"
        if most_tokens is not None and len(prompt.token_ids) > most_tokens:
            raise PromptTooLongError(len(prompt.token_ids))
        if not prompt.token_ids:
            raise invalid(field, "must hold at least one token")
        check_token_ids(prompt.token_ids, self._vocabulary_size, field)
        return EncodedPrompt(prompt.token_ids, None)

    def _encode_chat(
        self, prompt: ChatPrompt, field: str, most_tokens: int | None
    ) -> EncodedPrompt:
        if self._template is None:
            raise ServiceError(
                Reason.CHAT_TEMPLATE_MISSING,
                f"the model {self._model_id} has no chat template; send a text prompt instead",
                metadata={"model": self._model_id},
            )
        self._check_chat(prompt, field)
        check_tools(prompt, field)
        with_tools = speaks_of_tools(prompt)
        if with_tools and not self._template.knows_tools:
            prompt = in_plain_messages(prompt)
            with_tools = False
        tools = tool_documents(prompt.tools) if with_tools and offers_tools(prompt) else None
        private = self._guard.private_characters(_texts(prompt, tools))
        variables: dict[str, Any] = {
            **self._tokenizer.named_tokens,
            **private.hide(dict(prompt.template_arguments)),
            "messages": [self._plain(message, private) for message in prompt.messages],
            "tools": private.hide(tools),
            "documents": None,
            "add_generation_prompt": not prompt.continue_final_message,
        }
        if prompt.continue_final_message:
            variables["messages"][-1]["content"] += private.end_mark
        try:
            rendered = self._template.render(variables, with_tools=with_tools)
            if prompt.continue_final_message:
                rendered = _cut_at(private.end_mark, rendered)
        except TemplateError as error:
            raise ServiceError(
                Reason.CHAT_TEMPLATE_FAILED,
                f"the chat template of {self._model_id} refused the conversation: {error}",
                metadata={"model": self._model_id},
            ) from None
        self._check_length(rendered, most_tokens)
        ids = self._guard.encode(rendered, private)
        if not ids:
            raise invalid(f"{field}.messages", "made an empty prompt")
        return EncodedPrompt(ids, private.reveal(rendered))

    def _plain(self, message: Message, private: PrivateCharacters) -> dict[str, Any]:
        role = message.role
        if role == "developer" and self._template and not self._template.knows_developer:
            role = "system"
        plain: dict[str, Any] = {"role": role, "content": private.hide(message.content)}
        if message.name:
            plain["name"] = private.hide(message.name)
        if message.tool_calls:
            plain["tool_calls"] = private.hide([_call_document(c) for c in message.tool_calls])
        if message.tool_call_id:
            plain["tool_call_id"] = private.hide(message.tool_call_id)
        return plain

    @staticmethod
    def _check_chat(prompt: ChatPrompt, field: str) -> None:
        if not prompt.messages:
            raise invalid(f"{field}.messages", "must hold at least one message")
        if prompt.continue_final_message and prompt.messages[-1].role != "assistant":
            raise invalid(
                f"{field}.continue_final_message",
                "needs a conversation whose last message is the assistant's",
            )
        for name in sorted(_RESERVED_ARGUMENTS & prompt.template_arguments.keys()):
            raise invalid(f"{field}.template_arguments", f"must not replace {name!r}")


class PrivateCharacters:
    """A private character for each control token that somebody spelled in a message."""

    def __init__(self, characters: Mapping[str, str], end_mark: str) -> None:
        self._spelling_of = {character: text for text, character in characters.items()}
        self._characters = characters
        self._spellings = _alternatives(characters)
        self.pattern = _alternatives(self._spelling_of)
        """Matches the private characters; None when there are none."""
        self.end_mark = end_mark
        """A further private character, for marking a place."""

    def hide(self, value: Any) -> Any:
        """A JSON value in whose texts private characters stand for control tokens."""
        if self._spellings is None:
            return value
        if isinstance(value, str):
            return self._spellings.sub(lambda match: self._characters[match[0]], value)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item) for item in value]
        return value

    def reveal(self, text: str) -> str:
        """The text that was meant."""
        if self.pattern is None:
            return text
        return self.pattern.sub(lambda match: self._spelling_of[match[0]], text)


class ControlTokenGuard:
    """Encodes rendered text of one tokenizer with hidden control tokens in it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._control_ids = frozenset(tokenizer.control_tokens.values())
        self._spellings = _alternatives(tokenizer.control_tokens)
        # Control tokens that the tokenizer does not know to be special: only cutting them in two
        # keeps it from recognizing them.
        self._unmarked = _alternatives(
            text
            for text, id in tokenizer.control_tokens.items()
            if id not in tokenizer.special_tokens
        )

    def private_characters(self, texts: Iterator[str]) -> PrivateCharacters:
        """Private characters for the control tokens in `texts`, none of which occurs there."""
        spelled: set[str] = set()
        used: set[str] = set()
        for text in texts:
            if self._spellings is not None:
                spelled.update(self._spellings.findall(text))
            if not text.isascii():
                used.update(character for character in text if ord(character) in _PRIVATE)
        free = (chr(code) for code in _PRIVATE if chr(code) not in used)
        characters = {text: next(free) for text in sorted(spelled)}
        return PrivateCharacters(characters, end_mark=next(free))

    def encode(self, rendered: str, private: PrivateCharacters) -> list[int]:
        """Tokens of rendered text; private characters become the plain text they stand for."""
        ids, spans = self._tokenizer.encode_rendered(rendered)
        if private.pattern is None:
            return ids
        result: list[int] = []
        stretch: list[int] = []
        begin = 0
        for id, (first, last) in zip(ids, spans, strict=True):
            if id in self._control_ids:
                result += self._stretch(rendered[begin:first], stretch, private)
                result.append(id)
                stretch = []
                begin = last
            else:
                stretch.append(id)
        return result + self._stretch(rendered[begin:], stretch, private)

    def _stretch(self, text: str, ids: list[int], private: PrivateCharacters) -> list[int]:
        """Text between two control tokens, and its tokens if it holds nothing hidden."""
        if private.pattern is None or private.pattern.search(text) is None:
            return ids
        plain = private.reveal(text)
        if self._unmarked is None:
            return self._tokenizer.encode_plain(plain)
        result: list[int] = []
        begin = 0
        for match in self._unmarked.finditer(plain):
            middle = match.start() + 1
            result += self._tokenizer.encode_plain(plain[begin:middle])
            begin = middle
        return result + self._tokenizer.encode_plain(plain[begin:])


def check_token_ids(ids: Sequence[int], vocabulary_size: int, field: str) -> None:
    """Checks that every id is in the vocabulary.

    Raises:
        ServiceError: One is not.
    """
    for index, id in enumerate(ids):
        if not 0 <= id < vocabulary_size:
            raise out_of_range(f"{field}[{index}]", f"0 to {vocabulary_size - 1}", id)


def _alternatives(texts: Mapping[str, Any] | Iterator[str]) -> re.Pattern[str] | None:
    """Matches any of the texts, the longest first; None when there are none."""
    ordered = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _call_document(call: ToolCall) -> dict[str, Any]:
    """A call as templates know it."""
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _texts(prompt: ChatPrompt, tools: Any) -> Iterator[str]:
    for message in prompt.messages:
        yield message.content
        yield message.name
        yield message.tool_call_id
        for call in message.tool_calls:
            yield from _strings(_call_document(call))
    yield from _strings(prompt.template_arguments)
    yield from _strings(tools)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _cut_at(mark: str, rendered: str) -> str:
    before, found, _ = rendered.rpartition(mark)
    if not found:
        raise TemplateError("it does not show the last message, so that cannot be continued")
    return before
