from pathlib import Path

from check_includes import check


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_finds_each_kind_of_fault(tmp_path: Path) -> None:
    write(tmp_path, "src/pool/sources.cmake", "SOURCES a.cc")
    write(tmp_path, "src/pool/a.cc", '#include "merge/x.h"\n#include "base/log.h"\n')
    write(tmp_path, "src/spill/sources.cmake", "SOURCES c.cc")
    write(tmp_path, "src/spill/c.cc", '#include "pool/x.h"\n#include "dataset/storage.h"\n')
    write(tmp_path, "src/pool/b.cc", "#include <parquet/types.h>\n")
    write(tmp_path, "src/base/string_util.h", "")
    write(tmp_path, "include/floodwall/long.h", "\n" * 251)
    write(tmp_path, "include/floodwall/private.h", '#include "dataset/commit.h"\n')
    faults = check(tmp_path)
    assert [fault.split(": ")[0] for fault in faults] == [
        "include/floodwall/long.h:251",
        "include/floodwall/private.h:1",
        "src/base/string_util.h:1",
        "src/pool/a.cc:1",
        "src/pool/b.cc:1",
        "src/spill/c.cc:2",
        "src/pool/b.cc:1",
    ]


def test_this_repository_is_clean() -> None:
    assert check(Path(__file__).resolve().parents[2]) == []
