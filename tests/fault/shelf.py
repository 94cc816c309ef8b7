"""Directories that a server acknowledged, and whether they are still there, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sterna_service.models import manifest

Contents = dict[str, str]
"""The files of a directory by their relative names, as SHA-256; and what the server said of it."""

_SAID = "(what the server says)"


@dataclass
class Shelf:
    """Voices that were made, or models that were pulled: a directory each.

    Making, replacing or removing one that was cut off may have been done or not; half of it is
    wrong.
    """

    kind: str
    path: Path
    flaw: Callable[[Path], str]
    """What is wrong with a directory by its own testimony; empty: nothing."""
    kept: dict[str, Contents] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    """Of which the making or the replacing was cut off."""
    acknowledged: int = 0
    """So many were made or replaced."""
    leaving: set[str] = field(default_factory=set)

    def keep(self, name: str, said: str) -> None:
        """The server acknowledged it: what is there now must stay."""
        self.kept[name] = self._contents(name, said)
        self.begun.discard(name)
        self.acknowledged += 1

    def forget(self, name: str) -> None:
        """The server acknowledged that it is gone."""
        del self.kept[name]
        self.leaving.discard(name)

    def compare(self, listed: Mapping[str, str]) -> list[str]:
        """What is wrong with what a server lists after its start: names, and what it says of them.

        Settles what was open.
        """
        problems = []
        found = {name: self._contents(name, said) for name, said in listed.items()}
        for name, contents in self.kept.items():
            if name not in found:
                if name not in self.leaving:
                    problems.append(f"the {self.kind} {name} is lost")
            elif found[name] != contents and name not in self.begun:
                names = sorted(
                    each
                    for each in {*contents, *found[name]}
                    if contents.get(each) != found[name].get(each)
                )
                problems.append(f"the {self.kind} {name} has changed: {', '.join(names)}")
        for name in sorted(found):
            if name not in self.kept and name not in self.begun:
                problems.append(f"the {self.kind} {name} is there, and nobody made it")
            if flaw := self.flaw(self.path / name):
                problems.append(f"the {self.kind} {name} is there by half: {flaw}")
        there = {each.name for each in self.path.glob("*") if each.is_dir()}
        problems += [f"{self.path / each} was left behind" for each in sorted(there - set(found))]
        self.kept = found
        self.begun.clear()
        self.leaving.clear()
        return problems

    def _contents(self, name: str, said: str) -> Contents:
        directory = self.path / name
        files = {
            str(path.relative_to(directory)): manifest.sha256_of(path)
            for path in directory.rglob("*")
            if path.is_file()
        }
        return {_SAID: said, **files}


def voice_flaw(directory: Path) -> str:
    """What is wrong with a voice: its manifest names the digest of its state."""
    try:
        promised = json.loads((directory / "voice.json").read_text())["state_sha256"]
        actual = manifest.sha256_of(directory / "state.safetensors")
    except (OSError, ValueError, KeyError) as error:
        return repr(error)
    return "" if promised == actual else "the state is not what the manifest says"


def model_flaw(directory: Path) -> str:
    """What is wrong with a model: its manifest names the digests, and the README the revision."""
    noted = manifest.read_manifest(directory)
    if noted is None:
        return "it has no manifest"
    flaws = manifest.compare(directory, noted)
    if noted.revision not in (directory / "README.md").read_text():
        flaws.append("files of two revisions")
    return "; ".join(flaws)
