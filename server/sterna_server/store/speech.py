"""`sterna pull --voice`: the weights of recognition and synthesis."""

from __future__ import annotations

import sys

from sterna_server.errors import CommandError
from sterna_server.listing import size_text
from sterna_server.settings import Settings
from sterna_server.store.pulling import on_interrupt
from sterna_service.errors import ServiceError
from sterna_service.models.hub import Hub, PullCancelledError
from sterna_service.speech.catalogue import CATALOGUE, Kind, Weights
from sterna_service.speech.pulling import pull_weights


def pull_speech(settings: Settings, name: str | None, *, cloning: bool) -> list[str]:
    """Brings the weights of that name, else those that the settings name; says what is there.

    Raises:
        CommandError: There is no such name, or the weights cannot be had.
    """
    hub = Hub(settings.hub_endpoint or None)
    lines = []
    for weights in _wanted(settings, name):
        print(_introduction(weights, cloning), file=sys.stderr, flush=True)
        progress = _Progress()
        with on_interrupt() as cancelled:
            try:
                folder = pull_weights(
                    weights,
                    settings.home,
                    hub,
                    cloning=cloning and weights.kind is Kind.SYNTHESIS,
                    report=progress.report,
                    cancelled=cancelled,
                )
            except PullCancelledError:
                raise CommandError(
                    f"stopped; what came of {weights.name} is kept, and the same command goes on"
                ) from None
            except ServiceError as error:
                raise CommandError(error.message) from None
        lines.append(f"{weights.name} is here: {folder}")
    return lines


def _wanted(settings: Settings, name: str | None) -> list[Weights]:
    names = [name] if name else [settings.whisper_model, settings.tts_model]
    unknown = [each for each in names if each not in CATALOGUE]
    if unknown:
        raise CommandError(
            f"there are no speech weights called {unknown[0]}; there are {', '.join(CATALOGUE)}"
        )
    return [CATALOGUE[each] for each in names]


def _introduction(weights: Weights, cloning: bool) -> str:
    source, gated = weights.repository, "not gated"
    if cloning and weights.gated_repository:
        source, gated = weights.gated_repository, "gated: accept its terms, and set HF_TOKEN"
    text = (
        f"{weights.name}: {weights.kind.value}, about {weights.megabytes} MB from {source} "
        f"({gated}), licence {weights.licence}"
    )
    if weights.kind is Kind.SYNTHESIS:
        text += (
            "\n  some predefined voices come from recordings for non-commercial use (cosette: "
            "Expresso, jean: EARS); check their terms for your purpose"
        )
    return text


class _Progress:
    """One line for each tenth."""

    def __init__(self) -> None:
        self._tenth = -1

    def report(self, name: str, received: int, total: int) -> None:
        tenth = 10 * received // total if total else 10
        if tenth != self._tenth:
            self._tenth = tenth
            print(f"  {10 * tenth} % of {size_text(total)}", file=sys.stderr, flush=True)
