"""
Run fsspeckit's own PyArrow tests with and without the drop-in, and compare.

Makes a virtual environment with fsspeckit and this project, unpacks fsspeckit's source
distribution, and runs its tests twice. Exits non-zero when a test that passes without the drop-in
does not pass with it. Then runs this project's tests of the documented API there, with fsspeckit
installed. Needs Python 3.12 or newer, as fsspeckit does: ``--python``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

VERSION = "0.29.0"
TESTS = (
    "test_pyarrow_memory_monitoring_basic.py",
    "test_pyarrow_performance.py",
    "test_pyarrow_integration.py",
    "test_pyarrow_correctness.py",
    "test_utils/test_pyarrow_merge_method.py",
    "test_null_safe_merge.py",
    "test_dataset_parity_contracts.py",
    "test_utils/test_pyarrow_dataset_handler.py",
    "test_dataset_handler_protocol.py",
    "test_best_effort_dirs.py",
    "test_dataset_dependency_loading.py",
)


def _call(*command: object, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def _prepare(directory: Path, python: str) -> tuple[Path, Path]:
    """Return the interpreter of the environment and the unpacked source distribution."""
    interpreter = directory / "venv" / "bin" / "python"
    if not interpreter.exists():
        _call(python, "-m", "venv", directory / "venv")
    pip = (interpreter, "-m", "pip", "-q")
    _call(*pip, "install", f"fsspeckit[datasets]=={VERSION}", "pyarrow>=26.0,<26.1", "pytest",
          "pytest-mock", "hatchling", "scikit-build-core>=0.11", "nanobind>=2.4", "cmake>=3.26",
          "ninja")  # fmt: skip
    _call(*pip, "install", "--no-build-isolation", "--no-deps", "--force-reinstall", "-C",
          f"build-dir={directory / 'build'}", Path(__file__).parent.parent)  # fmt: skip
    sources = directory / f"fsspeckit-{VERSION}"
    if not sources.exists():
        _call(*pip, "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
              f"fsspeckit=={VERSION}", cwd=directory)  # fmt: skip
        with tarfile.open(directory / f"{sources.name}.tar.gz") as archive:
            archive.extractall(directory, filter="data")
    return interpreter, sources


def _run(interpreter: Path, sources: Path, plugin: bool) -> tuple[set[str], float]:
    """Return the names of the tests that passed, and the seconds of all."""
    report = sources.parent / ("with.xml" if plugin else "without.xml")
    command = [interpreter, "-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider"]
    if plugin:
        command += ["-p", "floodwall.fsspeckit.pytest_plugin"]
    command += [f"--junitxml={report}", *(f"tests/{name}" for name in TESTS)]
    subprocess.run([str(part) for part in command], cwd=sources, check=False)
    passed, seconds = set(), 0.0
    for case in ET.parse(report).iter("testcase"):
        seconds += float(case.get("time", 0))
        if not {"failure", "error", "skipped"} & {child.tag for child in case}:
            passed.add(f"{case.get('classname')}.{case.get('name')}")
    return passed, seconds


def _run_own(interpreter: Path) -> bool:
    """Run this project's tests of the same API beside an installed fsspeckit."""
    root = Path(__file__).resolve().parent.parent
    tests = [
        root / "tests/python/test_documented_api.py",
        root / "tests/python/test_interpreters.py",
    ]
    command = [interpreter, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", *tests]
    return subprocess.run([str(part) for part in command], cwd=root, check=False).returncode == 0


def main() -> int:
    """Prepare, run twice, compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("build/fsspeckit"))
    parser.add_argument("--python", default=sys.executable, help="3.12 or newer")
    args = parser.parse_args()
    directory: Path = args.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    interpreter, sources = _prepare(directory, args.python)
    without, seconds_without = _run(interpreter, sources, False)
    with_drop_in, seconds_with = _run(interpreter, sources, True)
    lost = sorted(without - with_drop_in)
    print(f"fsspeckit {VERSION}: {len(without)} pass in {seconds_without:.1f} s;")
    print(f"with the drop-in: {len(with_drop_in)} pass in {seconds_with:.1f} s, {len(lost)} lost")
    print("\n".join(lost))
    own = _run_own(interpreter)
    return 1 if lost or not without or not own else 0


if __name__ == "__main__":
    sys.exit(main())
