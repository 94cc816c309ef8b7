"""The light wheel: pure Python, installs where no compiler is, and imports without the server."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import importlib.metadata, importlib.util, shutil, sys

assert shutil.which("cc") is None and shutil.which("gcc") is None
assert importlib.util.find_spec("sterna_server") is None

import sterna
from sterna.v1 import inference_pb2_grpc, model_admin_pb2_grpc, speech_pb2_grpc

assert sterna.__version__ == importlib.metadata.version("sterna")
assert {"Server", "LLM", "Whisper", "TTS"} <= set(dir(sterna))
for name in ("Server", "LLM", "Whisper", "TTS"):
    try:
        getattr(sterna, name)
    except ImportError as error:
        assert 'pip install "sterna[server]"' in str(error), error
    else:
        raise AssertionError(name)
try:
    sterna.Nothing
except AttributeError:
    pass

with sterna.Client("127.0.0.1:1") as client:
    try:
        client.create_session(timeout=10)
    except sterna.SternaError as error:
        print(type(error).__name__)
"""


def run(
    *command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=env,
        cwd=cwd,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder)
    built = run(*pip, ROOT / "clients" / "python")
    if "hatchling" in built.stderr and "No matching distribution" in built.stderr:
        pytest.skip("the package index cannot be reached")
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("sterna/py.typed", "sterna/client.py", "sterna/v1/inference_pb2.pyi"):
        assert wanted in names
    (licence,) = (name for name in names if name.endswith("licenses/LICENSE"))
    # A source archive cannot link to the project's own, so there is a copy.
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sterna"}


@pytest.mark.slow
def test_it_installs_and_imports_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    venv.EnvBuilder(with_pip=True).create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    # No compiler on the path, and nothing that would need one.
    environment = {**os.environ, "PATH": str(python.parent)}
    environment.pop("PYTHONPATH", None)
    install = ("-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel)
    installed = run(python, *install, env=environment)
    if "No matching distribution" in installed.stderr:
        pytest.skip("the package index cannot be reached")
    assert installed.returncode == 0, installed.stderr
    checked = run(python, "-m", "pip", "check", env=environment)
    assert checked.returncode == 0, checked.stdout
    imported = run(python, "-W", "error", "-c", SCRIPT, env=environment, cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.strip() == "UnavailableError"
