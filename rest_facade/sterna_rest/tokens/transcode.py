"""Tokenizing ↔ protocol. Pure functions."""

from __future__ import annotations

from sterna.v1.inference_pb2 import TokenizeRequest as Request
from sterna.v1.inference_pb2 import TokenizeResponse
from sterna_rest.chat.tool_transcode import tool_parameter
from sterna_rest.chat.transcode import chat_message
from sterna_rest.tokens.schemas import TokenizeBody, TokenizeRequest

_PARAMETERS = {"model_id": "model", "text.text": "prompt", "token_ids": "tokens"}


def tokenize_request(body: TokenizeRequest) -> Request:
    """The whole request. Raises `ApiError` for a message that cannot be read."""
    request = Request(model_id=body.model or "", include_pieces=bool(body.return_token_strs))
    if body.messages is not None:
        for index, message in enumerate(body.messages):
            request.chat.messages.append(chat_message(message, f"messages[{index}]"))
        request.chat.continue_final_message = bool(body.continue_final_message)
        return request
    request.text.text = body.prompt or ""
    if body.add_special_tokens is not None:
        request.text.add_special_tokens = body.add_special_tokens
    request.text.SetInParent()
    return request


def tokenize_body(response: TokenizeResponse, context_length: int, *, texts: bool) -> TokenizeBody:
    """The tokens; with `texts` also what each is spelled."""
    return TokenizeBody(
        count=len(response.token_ids),
        max_model_len=context_length,
        tokens=list(response.token_ids),
        token_strs=[piece.text for piece in response.pieces] if texts else None,
    )


def token_parameter(field: str) -> str:
    """The HTTP name of a field of the protocol."""
    for known, name in _PARAMETERS.items():
        if field == known or field.startswith(f"{known}["):
            return name + field[len(known) :]
    return tool_parameter(field.removeprefix("chat."))
