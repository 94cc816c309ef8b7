"""Where the server is, and how the connection behaves; the same for both clients."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from sterna.v1 import inference_pb2, model_admin_pb2, speech_pb2

DEFAULT_ADDRESS = "127.0.0.1:50051"
ADDRESS_VARIABLE = "STERNA_ADDRESS"
API_KEY_VARIABLE = "STERNA_API_KEY"

# Repeating one of these could do its work twice: the first attempt may have succeeded although
# its answer was lost. Everything else that is unary may be repeated.
_NOT_REPEATABLE = {"CreateSession", "CreateWebhook", "RotateWebhookSecret"}

# Streams that may be repeated: they only compute. gRPC repeats none of which a part has arrived.
_REPEATABLE_STREAMS = {"StreamEmbed"}

_SERVICES: tuple[ServiceDescriptor, ...] = (
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"],
    model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"],
    speech_pb2.DESCRIPTOR.services_by_name["SpeechService"],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to recognise the server, and how to be recognised by it. All values are PEM.

    Attributes:
        root_certificates: The authorities to trust. None: those of the system.
        certificate_chain: The client's certificate, for servers that ask for one.
        private_key: The key of that certificate.
        server_name: The name in the server's certificate, where it is not the address.
    """

    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address, with everything that calls to it share. Durations in seconds."""

    address: str
    timeout: float
    generation_timeout: float
    tls: Tls | None
    api_key: str = field(repr=False)

    @classmethod
    def of(
        cls,
        address: str | None,
        timeout: float,
        generation_timeout: float,
        tls: Tls | bool,
        api_key: str | None,
    ) -> Connection:
        """Checks the arguments of a client, and fills in what they leave to the environment."""
        for name, value in (("timeout", timeout), ("generation_timeout", generation_timeout)):
            if not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds, not {value}")
        if address is None:
            address = os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
        if "://" in address:
            raise ValueError(
                f"address must be host:port or unix:/path, not a URL: {address!r} "
                "(the gRPC port, 50051 by default)"
            )
        if api_key is None:
            api_key = os.environ.get(API_KEY_VARIABLE, "")
        if isinstance(tls, bool):
            return cls(address, timeout, generation_timeout, Tls() if tls else None, api_key)
        return cls(address, timeout, generation_timeout, tls, api_key)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def timeout_of(self, asked: float | None, *, long: bool) -> float:
        """Seconds for one call; every call has a timeout."""
        if asked is None:
            return self.generation_timeout if long else self.timeout
        if not asked > 0:
            raise ValueError(f"timeout must be a positive number of seconds, not {asked}")
        return asked

    @property
    def options(self) -> list[tuple[str, str | int]]:
        """Channel options."""
        options: list[tuple[str, str | int]] = [
            # Find a dead connection within 80 seconds while a call waits; say nothing when idle.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.service_config", service_config()),
        ]
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def service_config() -> str:
    """Retries for unary calls and embeddings that the server could not take, and for nothing else.

    No other stream is repeated: part of it may have been read. Only UNAVAILABLE is, which the
    server sends before it does any work.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in _SERVICES
        for method in service.methods
        if not method.client_streaming
        and (not method.server_streaming or method.name in _REPEATABLE_STREAMS)
        and method.name not in _NOT_REPEATABLE
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.2s",
        "maxBackoff": "3s",
        "backoffMultiplier": 2.5,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})
