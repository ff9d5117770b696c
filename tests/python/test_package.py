"""The installed package: what it exports, its version, and what it says to another pyarrow."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(floodwall.__file__).parent


def exported(library: Path) -> list[str]:
    out = subprocess.check_output(["nm", "-D", "--defined-only", library], text=True)
    return [line.split()[-1].split("@")[0] for line in out.splitlines()]


def test_only_its_namespace_leaves_the_library() -> None:
    names = exported(PACKAGE / "lib" / "libfloodwall.so")
    assert len(names) > 100
    assert "_ZN9floodwall5MergeERKNS_11MergeSourceE" in {name[:39] for name in names}
    ours = re.compile(r"_ZT[hv]n\d+_NK?9floodwall|_Z(N|NK|T[ISTV]N|GVN)9floodwall")
    assert [name for name in names if not ours.match(name)] == []


def test_only_its_entry_leaves_the_extension() -> None:
    assert exported(next(PACKAGE.glob("_core*.so"))) == ["PyInit__core"]


def test_only_arrows_allocator_leaves_what_is_preloaded() -> None:
    names = exported(PACKAGE / "lib" / "libfloodwall_preload.so")
    assert names and all(name.startswith("arrow_mi_") for name in names)


def test_its_import_and_a_merge_take_no_pandas_along(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    source = tmp_path / "changes.parquet"
    pq.write_table(pa.table({"id": [1]}), source)
    work = (
        "import sys, floodwall\n"
        f"floodwall.merge({str(source)!r}, {str(tmp_path / 'd')!r}, 'upsert', 'id')\n"
        "print([name for name in ('pandas', 'pyarrow.dataset') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", work], text=True) == "[]\n"


def test_the_version_is_written_once() -> None:
    version = floodwall.__version__
    assert version == importlib.metadata.version("floodwall")
    command = [sys.executable, "-m", "floodwall"]
    assert subprocess.check_output([*command, "--version"], text=True) == f"floodwall {version}\n"
    config = (PACKAGE / "lib/cmake/floodwall/floodwall-config-version.cmake").read_text()
    assert f'PACKAGE_VERSION "{version}"' in config
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: the sources cannot be listed")
    # The changelog and pages that report measurements name versions as history.
    built = re.compile(r"^(cmake|include|python|src|tools|examples)/|^[A-Z]\w+$|\.(toml|json|txt)$")
    written = [
        name
        for name in tracked.stdout.splitlines()
        if built.search(name) and version in (ROOT / name).read_text(errors="replace")
    ]
    assert written == ["include/floodwall/version.h"]


@pytest.mark.parametrize("other", ["25.0.0", "27.1.0"])
def test_another_pyarrow_is_one_clear_sentence(other: str, tmp_path: Path) -> None:
    (tmp_path / "pyarrow").mkdir()
    (tmp_path / "pyarrow" / "__init__.py").write_text(f"__version__ = {other!r}\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport floodwall"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: floodwall needs pyarrow >=26.0,<26.1 but found {other}: "
        "run pip install 'pyarrow>=26.0,<26.1'"
    )


@pytest.mark.parametrize("extra", ["prometheus", "opentelemetry"])
def test_an_exporter_names_its_extra(extra: str) -> None:
    # A name that is None in sys.modules cannot be imported.
    missing = {"prometheus": "prometheus_client", "opentelemetry": "opentelemetry"}[extra]
    code = f"import sys; sys.modules[{missing!r}] = None\nimport floodwall.exporters.{extra}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pip install 'floodwall[{extra}]'" in done.stderr.splitlines()[-1]
