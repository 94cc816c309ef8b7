"""What a client may send on the socket."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, TypeAdapter

from sterna_rest.api.schemas import Options
from sterna_rest.generation.fields import RequestModel, discriminator_of_type


class ChatMessage(RequestModel):
    """What the person says next."""

    type: Literal["chat_message"]
    model: str | None = None
    message: str = Field(min_length=1)
    options: Options | None = None


class Cancel(RequestModel):
    """Stop the answer that is being made."""

    type: Literal["cancel"]


Incoming = Annotated[
    Annotated[ChatMessage, Tag("(chat_message)")] | Annotated[Cancel, Tag("(cancel)")],
    discriminator_of_type("chat_message", "cancel"),
]
INCOMING: TypeAdapter[ChatMessage | Cancel] = TypeAdapter(Incoming)
