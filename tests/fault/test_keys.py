"""The comparison of API keys after a kill finds what is lost, revived and invented."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fault.keys import Keys
from tests.support.keys import make_key, revoke_key


async def test_keys_that_are_not_as_acknowledged(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "state.db", {}, random.Random(0))
    keys.good["kept"] = await make_key(tmp_path, name="kept")
    keys.good["other"] = await make_key(tmp_path, name="another")
    keys.revoked["revived"] = await make_key(tmp_path, name="revived")
    keys.good["ended"] = await make_key(tmp_path, name="ended")
    await revoke_key(tmp_path, keys.good["ended"])
    assert sorted(await keys.compare()) == [
        "the key another is there, and nobody made it",
        "the key ended is revoked, and nobody did that",
        "the key other is lost",
        "the key revived is good again, and was revoked",
    ]


async def test_what_was_cut_off_may_have_been_done(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "state.db", {}, random.Random(0))
    keys.good["ended"] = await make_key(tmp_path, name="ended")
    await revoke_key(tmp_path, keys.good["ended"])
    await make_key(tmp_path, name="made")
    keys._maybe_revoked, keys._maybe_made = "ended", "made"
    assert await keys.compare() == []
    assert list(keys.revoked) == ["ended"]
    assert await keys.compare() == []
