"""
Compile the memory probes for Windows and macOS, and run the Windows one under Wine.

They need neither Arrow nor GTest. Windows: Debian's g++-mingw-w64-x86-64-posix and wine64. macOS:
the ziglang wheel, which ships the system's headers; what it compiles cannot run here. A tool that
is missing is a failure unless --skip-missing is given, which says so and goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "cross"
FLAGS = [
    "-std=c++20", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
]  # fmt: skip
SHARED = [
    "src/base/fork_epoch.cc", "src/probe/probe.cc", "src/probe/memory_events.cc",
    "src/probe/cpu_quota.cc", "src/probe/diagnosis.cc", "src/probe/darwin/darwin_figures.cc",
    "src/probe/windows/windows_figures.cc", "tests/cross/probe_check.cc",
]  # fmt: skip
WINDOWS = [*SHARED, "src/probe/windows/windows_probe.cc"]
MACOS = [*SHARED, "src/probe/mapped_file.cc", "src/probe/darwin/darwin_probe.cc"]
COMPILER = "x86_64-w64-mingw32-g++-posix"


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment})


def check_windows() -> str:
    """Build the check with warnings as errors, and run it."""
    program = OUT / "probe_check.exe"
    _run([COMPILER, *FLAGS, "-Iinclude", "-Isrc", *WINDOWS, "-static", "-o", str(program)])
    _run(["wine", str(program)], WINEPREFIX=str(OUT / "wine"), WINEDEBUG="-all")
    return "compiled, and true under Wine"


def check_macos() -> str:
    """Compile every source for both processors."""
    for target in ("aarch64-macos", "x86_64-macos"):
        for source in MACOS:
            name = OUT / f"{target}-{Path(source).stem}.o"
            _run(
                [sys.executable, "-m", "ziglang", "c++", "-target", target, *FLAGS,
                 "-Iinclude", "-Isrc", "-c", source, "-o", str(name)],
                ZIG_GLOBAL_CACHE_DIR=str(OUT / "zig"), ZIG_LOCAL_CACHE_DIR=str(OUT / "zig"),
            )  # fmt: skip
    return "compiled for arm64 and x86-64; not run"


def main() -> int:
    """Run both checks and say how long they took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--skip-missing", action="store_true", help="go on without a missing tool")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    tools = {
        "Windows": [tool for tool in (COMPILER, "wine") if shutil.which(tool) is None],
        "macOS": [] if importlib.util.find_spec("ziglang") else ["ziglang"],
    }
    failed = False
    for name, check in (("Windows", check_windows), ("macOS", check_macos)):
        if tools[name]:
            print(f"{name}: not checked, missing {', '.join(tools[name])}", flush=True)
            failed |= not arguments.skip_missing
            continue
        started = time.monotonic()
        try:
            said = check()
        except subprocess.CalledProcessError as error:
            said, failed = f"failed ({error.returncode})", True
        print(f"{name}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
