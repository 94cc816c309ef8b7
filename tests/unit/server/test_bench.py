"""`sterna bench`: what its options mean, and the arithmetic of its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from sterna_server.bench.measure import Figure
from sterna_server.bench.plan import DEFAULTS, Plan, parse_numbers, parse_parts, parse_variant
from sterna_server.bench.result import Result
from sterna_server.bench.subject import find_subject
from sterna_server.errors import CommandError
from sterna_service.engine.floors import Floors
from sterna_service.engine.trial import Arrivals, Trial, TrialError, Work, find_bundle
from sterna_service.engine.types import EngineOptions
from sterna_service.models.synthetic.checkpoint import make_checkpoint
from sterna_service.models.synthetic.shapes import SHAPES, Shape, match_shape

TINY = Shape("bitnet", "multiply", 128, 384, 2, 2, 1, 64, 512)


def test_variant_changes_the_options_it_names() -> None:
    variant = parse_variant("prefix_cache=off, max-batch-tokens=64")
    options = variant.apply(EngineOptions(threads=2))
    assert options == EngineOptions(threads=2, prefix_cache=False, max_batch_tokens=64)
    assert DEFAULTS.apply(EngineOptions()) == EngineOptions()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prefix_cash=off", "one of these names: .*prefix_cache"),
        ("prefix_cache", "NAME=VALUE"),
        ("threads=4", "one of these names"),
        ("prefix_cache=perhaps", "prefix_cache should be on or off; got 'perhaps'"),
        ("max_batch_tokens=many", "max_batch_tokens should be of type int; got 'many'"),
        ("", "at least one setting"),
    ],
)
def test_variant_that_cannot_be(text: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        parse_variant(text)


def test_lists() -> None:
    assert parse_numbers("--streams", "1, 2,16", least=1, most=1024) == (1, 2, 16)
    assert parse_parts("prefill,decode") == ("prefill", "decode")
    with pytest.raises(CommandError, match="--streams: should be 1 to 1024; got 0"):
        parse_numbers("--streams", "0", least=1, most=1024)
    with pytest.raises(CommandError, match="--threads: should be numbers"):
        parse_numbers("--threads", "1;2", least=1, most=1024)
    with pytest.raises(CommandError, match="no part 'speed'; there are: decode, prefill"):
        parse_parts("speed")


def test_plan_fits_the_context() -> None:
    plan = Plan()
    assert plan.fit(4096) == plan
    small = plan.fit(256)
    assert small.prompt == 255
    assert small.prefix == 254
    assert small.batched_prompt + small.batched_generate + 64 <= 256
    assert small.generate + 16 + 64 <= 256


def test_shapes_are_found_by_either_name() -> None:
    assert match_shape("bitnet-2b-4t") == match_shape("bitnet-b1.58-2B-4T") == "bitnet-b1.58-2B-4T"
    assert match_shape("gpt-2") is None


def test_subject_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not both"):
        find_subject("sterna/tern-nano", "bitnet-2b-4t", tmp_path, print)
    with pytest.raises(CommandError, match=r"there are: bitnet-b1\.58-2B-4T"):
        find_subject("", "gpt-2", tmp_path, print)


def test_random_weights_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    told: list[str] = []
    first = find_subject("", "tiny", tmp_path, told.append)
    assert first == find_subject("", "tiny", tmp_path, told.append)
    assert len(told) == 1
    assert first.bundle.exists()
    # The bundle itself can be named, too.
    assert find_subject(str(first.bundle), "", tmp_path, told.append).bundle == first.bundle


def test_rate_counts_only_while_every_stream_decodes() -> None:
    # The first stream is alone until 2.0 and the second one after 4.0.
    arrivals = Arrivals([[1.0, 1.5, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]], cached_tokens=0)
    assert arrivals.first_token == 1.0
    assert arrivals.decoded_per_second == 4 / 2.0
    assert Arrivals([[1.0]], 0).decoded_per_second == 0.0


WORK = Work(ternary_bytes=6e8, head_bytes=4e8, ternary_macs=2.5e9)
FLOORS = Floors(2, "avx2", read_bytes_per_second=2e10, int8_macs_per_second=2.5e11)


def figure(
    what: str = "decode",
    streams: int = 1,
    unit: str = "tokens/s",
    variant: str = "defaults",
    values: tuple[float, ...] = (10.0,),
    floors: tuple[Floors, ...] = (FLOORS,),
) -> Figure:
    return Figure(what, unit, 2, streams, variant, list(values), list(floors))


def test_better_floors() -> None:
    disturbed = Floors(2, "avx2", 1e10, 3e11)
    assert FLOORS.better(disturbed) == Floors(2, "avx2", 2e10, 3e11)


@pytest.mark.parametrize(
    ("what", "streams", "expected"),
    [
        ("decode", 1, 20.0),  # 1 GB at 20 GB/s
        ("prefill", 1, 100.0),
        ("batched", 4, 80.0),  # still bound by the reads
        ("batched", 16, 100.0),  # bound by the multiplications
    ],
)
def test_roofline(what: str, streams: int, expected: float) -> None:
    assert figure(what, streams).rooflines(WORK) == pytest.approx([expected])


def test_each_round_is_held_to_its_own_floor() -> None:
    slow = Floors(2, "avx2", 1e10, 2.5e11)
    uneven = figure(values=(10.0, 10.0, 6.0), floors=(FLOORS, slow, slow))
    assert uneven.rooflines(WORK) == [20.0, 10.0, 10.0]
    assert uneven.fraction(WORK) == pytest.approx(0.6)


def test_times_and_machines_without_int8_have_no_floor() -> None:
    assert figure(unit="ms").rooflines(WORK) is None
    plain = figure(floors=(Floors(2, "reference", 2e10, 0.0),))
    assert plain.rooflines(WORK) is None
    assert plain.fraction(WORK) is None


def test_table_and_json_agree() -> None:
    result = Result("machine", "model", WORK)
    result.figures = [
        figure(values=(9.0, 10.0, 12.0), floors=(FLOORS,) * 3),
        figure(values=(15.0,) * 3, floors=(FLOORS,) * 3, variant="prefix_cache=off"),
    ]
    lines = list(result.to_lines())
    (row,) = (line for line in lines if line.endswith("prefix_cache=off"))
    assert row.split()[:4] == ["decode", "2", "1", "15.0"]
    assert "75%" in row
    assert "1.50" in row
    first, second = result.to_json()["figures"]
    assert first["median"] == 10.0
    assert first["values"] == [9.0, 10.0, 12.0]
    assert second["fraction_of_floor"] == pytest.approx(0.75)


def test_trial_runs_the_engine(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "tiny", TINY, 0)
    bundle = find_bundle(tmp_path / "tiny", "tiny", tmp_path / "home")
    with Trial.open(bundle, EngineOptions(threads=1, max_batch=2)) as trial:
        arrivals = trial.run([[1, 2, 3], [4, 5]], 6)
        assert [len(times) for times in arrivals.streams] == [6, 6]
        assert all(times == sorted(times) for times in arrivals.streams)
        assert arrivals.cached_tokens == 0
        assert trial.work.ternary_macs > 4 * 128 * 128
        assert trial.interrupt([[1, 2], [3]], [4] * 40, 4).during > 0
        scored = trial.score([1, 2, 3])
        assert len(scored) == 2
        assert all(one.logprob < 0 and 0 <= one.best < 512 for one in scored)
        with pytest.raises(TrialError, match="context"):
            trial.run([[1] * 300], 1)
