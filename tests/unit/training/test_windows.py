"""Packing, batches and the schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from training.batches import Order
from training.corpus.chat import assistant, user
from training.schedule import Schedule
from training.windows import BOS_ID, PAD_ID, Document, Windows, documents, pack


def _document(size: int, mark: int) -> Document:
    return Document([BOS_ID] + [mark] * (size - 1), [0] + [10] * (size - 1))


def test_documents_are_packed_whole() -> None:
    sizes = [5, 9, 3, 7, 2, 11, 4, 6] * 20
    windows = pack((_document(s, 100 + i) for i, s in enumerate(sizes)), 19, 30)
    assert windows.tokens.shape == windows.weights.shape == (30, 20)
    found: dict[int, int] = {}
    for mark in np.unique(windows.tokens[windows.tokens >= 100]):
        rows, columns = np.nonzero(windows.tokens == mark)
        assert len(set(rows.tolist())) == 1  # in one window
        assert np.all(np.diff(columns) == 1)  # in one piece
        assert windows.tokens[rows[0], columns[0] - 1] == BOS_ID
        found[int(mark)] = len(columns) + 1
    assert all(sizes[mark - 100] == size for mark, size in found.items())
    assert np.mean(windows.tokens != PAD_ID) > 0.9


def test_padding_has_no_weight() -> None:
    windows = pack([_document(5, 100)], 10, 2)
    assert np.all(windows.weights[windows.tokens == PAD_ID] == 0)


def test_a_document_that_is_too_long_is_left_out() -> None:
    windows = pack([_document(50, 100), _document(4, 101)], 10, 1)
    assert 100 not in windows.tokens
    assert 101 in windows.tokens


def test_packing_an_endless_stream_ends() -> None:
    def endless() -> Iterator[Document]:
        while True:
            yield _document(7, 100)

    windows = pack(endless(), 20, 60)
    assert np.all((windows.tokens != PAD_ID).sum(1) == 21)


def test_windows_survive_the_disk(tmp_path: Path) -> None:
    windows = pack([_document(5, 100)], 10, 2)
    windows.save(tmp_path / "short")
    loaded = Windows.load(tmp_path / "short")
    assert np.array_equal(loaded.tokens, windows.tokens)
    assert np.array_equal(loaded.weights, windows.weights)


def test_weights_follow_the_tokens_of_their_piece() -> None:
    def encode(texts: list[str]) -> list[list[int]]:
        return [list(range(len(text.split()))) for text in texts]

    (document,) = documents([[user("a b"), assistant("c d e")]], encode)
    assert document.weights == [0, 0, 0, 0, 0, 10, 10, 10]
    assert len(document.ids) == len(document.weights)


def test_an_epoch_has_every_row_once() -> None:
    order = Order(10, (1, 0))
    epoch = np.concatenate([order.slice(first, 5) for first in (0, 5)])
    assert sorted(epoch.tolist()) == list(range(10))
    assert not np.array_equal(epoch, order.slice(10, 10))


def test_the_order_can_go_on_anywhere() -> None:
    whole = Order(7, (1, 1)).slice(0, 40)
    assert np.array_equal(Order(7, (1, 1)).slice(11, 13), whole[11:24])


def test_the_schedule_warms_up_holds_and_decays() -> None:
    schedule = Schedule(total_tokens=1000, decay_tokens=400, warmup_tokens=100)
    assert schedule.factor(0) == pytest.approx(0.01)
    assert schedule.factor(99) == 1.0
    assert schedule.factor(600) == 1.0
    assert schedule.factor(800) == pytest.approx(0.5)
    assert schedule.factor(1000) == 0.0
    assert not schedule.decaying(599)
    assert schedule.decaying(600)


def test_a_decay_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="decay_tokens is 11"):
        Schedule(total_tokens=10, decay_tokens=11, warmup_tokens=0)
