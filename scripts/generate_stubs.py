"""Generate the Python stubs of the protocol into clients/python/sterna/v1.

    python scripts/generate_stubs.py           write them
    python scripts/generate_stubs.py --check   fail when the checked-in ones are out of date

The generators are pinned, because the version of grpcio-tools decides which protobuf and grpcio
releases can load its output: 1.81.1 is the last whose stubs run with protobuf 6.33.5 and with 7.x.
When the running Python has exactly these versions they are used; otherwise they are installed into
an environment of their own, build/stub-tools, so that they never decide what the project runs with.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib import metadata
from pathlib import Path

PINS = (
    "grpcio-tools==1.81.1",
    "mypy-protobuf==5.1.0",
)

ROOT = Path(__file__).resolve().parent.parent
PROTO_ROOT = ROOT / "proto"
PACKAGE_ROOT = ROOT / "clients" / "python"
TOOLS = ROOT / "build" / "stub-tools"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def is_installed(pin: str) -> bool:
    """Whether the running Python has this version of this distribution."""
    name, _, version = pin.partition("==")
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def ensure_tools() -> Path:
    """The folder with the programs of the pinned tools, installed if need be."""
    here = Path(sysconfig.get_path("scripts"))
    if all(is_installed(pin) for pin in PINS) and (here / "protoc-gen-mypy_grpc").exists():
        return here
    bin_folder = TOOLS / "bin"
    stamp = TOOLS / "pins.txt"
    wanted = "\n".join(PINS)
    if stamp.is_file() and stamp.read_text() == wanted and (bin_folder / "python").exists():
        return bin_folder
    print(f"Installing {', '.join(PINS)} into {TOOLS.relative_to(ROOT)} …", file=sys.stderr)
    venv.EnvBuilder(with_pip=True, clear=True).create(TOOLS)
    pip = [str(bin_folder / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *PINS], check=True)
    stamp.write_text(wanted)
    return bin_folder


def generate(tools: Path, destination: Path) -> None:
    """Write the stubs of every proto file below `destination`, in sterna/v1."""
    protos = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.rglob("*.proto"))
    subprocess.run(
        [
            str(tools / "python"),
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={PROTO_ROOT}",
            f"--plugin=protoc-gen-mypy_grpc={tools / 'protoc-gen-mypy_grpc'}",
            f"--python_out={destination}",
            f"--pyi_out={destination}",
            f"--grpc_python_out={destination}",
            f"--mypy_grpc_out=quiet:{destination}",
            *protos,
        ],
        check=True,
    )
    # A file without services needs no service stub; the generators write empty ones.
    for empty in destination.rglob("*_pb2_grpc.py"):
        name = empty.name.removesuffix("_pb2_grpc.py")
        proto = PROTO_ROOT / "sterna" / "v1" / f"{name}.proto"
        if not re.search(r"^service ", proto.read_text(), re.MULTILINE):
            empty.unlink()
            empty.with_suffix(".pyi").unlink(missing_ok=True)


def generated_files(root: Path) -> dict[str, Path]:
    """Generated files below `root`, by their path relative to it."""
    folder = root / "sterna" / "v1"
    return {
        str(path.relative_to(root)): path
        for pattern in GENERATED
        for path in sorted(folder.glob(pattern))
    }


def differences(fresh: Path, current: Path) -> list[str]:
    """One line per file that is missing, left over, or not as freshly generated."""
    new, old = generated_files(fresh), generated_files(current)
    lines = [f"missing: {name}" for name in sorted(new.keys() - old.keys())]
    lines += [f"left over: {name}" for name in sorted(old.keys() - new.keys())]
    lines += [
        f"out of date: {name}"
        for name in sorted(new.keys() & old.keys())
        if not filecmp.cmp(new[name], old[name], shallow=False)
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the Python stubs of the protocol.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check: bool = parser.parse_args().check

    tools = ensure_tools()
    with tempfile.TemporaryDirectory(prefix="sterna-stubs-") as folder:
        fresh = Path(folder)
        generate(tools, fresh)
        lines = differences(fresh, PACKAGE_ROOT)
        if check:
            if lines:
                print("\n".join(lines))
                print("The stubs do not match proto/: run python scripts/generate_stubs.py")
            return 1 if lines else 0
        new = generated_files(fresh)
        for name, path in generated_files(PACKAGE_ROOT).items():
            if name not in new:
                path.unlink()
        for name, path in new.items():
            target = PACKAGE_ROOT / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        print("\n".join(lines) if lines else "The stubs are up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
