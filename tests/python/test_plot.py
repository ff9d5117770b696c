import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import pytest

from floodwall import _core
from floodwall.cli import main
from floodwall.plots import plot_recording

MIB = 1 << 20
# Holds Arrow memory above its limit for a while, and is killed.
_JOB = """
import os, signal, time, floodwall, pyarrow as pa
monitor = floodwall.MemoryMonitor(max_pyarrow_mb=64, min_system_available_mb=0)
watch = monitor.watch(None, interval_s=0.005)
watch.record("job.flood")

def wait(samples):
    end = watch.stats()["samples"] + samples
    while watch.stats()["samples"] < end: time.sleep(0.005)

wait(5)
held = pa.allocate_buffer(80 << 20)
wait(5)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    (directory / "job.py").write_text(_JOB)
    child = subprocess.run(
        [sys.executable, "job.py", "<b>$x$y", "</script>"], cwd=directory, timeout=60
    )
    assert child.returncode == -9
    return directory / "job.flood"


def test_png_is_a_picture_with_every_level(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "out.png"
    assert main(["plot", str(recording), "-o", str(picture)]) == 0
    assert capsys.readouterr().out == f"{picture}\n"
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[:2] == (900, 1500)
    emergency = [0xF9 / 255, 0xC9 / 255, 0xC4 / 255]
    assert (abs(pixels[:, :, :3] - emergency).max(axis=2) < 0.01).sum() > 1000


def test_svg_names_what_it_shows(recording: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    plot_recording(recording, picture)
    texts = " ".join(ET.parse(picture).getroot().itertext())
    for text in ("anonymous memory", "held by Arrow", "Arrow's limit 64.0 MiB", "emergency",
                 "killed, or still runs", "seconds since the start", "<b>$x$y"):  # fmt: skip
        assert text in texts, text
    first = picture.read_bytes()
    plot_recording(recording, picture)
    assert picture.read_bytes() == first


def test_html_stands_alone(recording: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    plot_recording(recording, page)
    text = page.read_text()
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>', "", text)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)|@import|url\((?!#)""", without_names)
    assert "<b>" not in text
    embedded = re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)
    assert embedded is not None
    data = json.loads(embedded[1])
    records = _core.read_recording(str(recording))["records"]
    figures = dict(data["figures"])
    assert figures["Arrow"] == [record["arrow_bytes"] for record in records]
    assert max(figures["Arrow"]) == 80 * MIB
    assert data["seconds"] == sorted(data["seconds"])
    assert 0 < data["frame"]["left"] < data["frame"]["right"] < 1
    assert "was killed" in text


def test_what_is_unknown_or_damaged_is_drawn_too(recording: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.flood"
    content = bytearray(recording.read_bytes())
    content[64:72] = b"\xff" * 8
    damaged.write_bytes(content)
    assert not _core.read_recording(str(damaged))["header_intact"]
    plot_recording(damaged, tmp_path / "damaged.svg")
    assert "its header is damaged" in (tmp_path / "damaged.svg").read_text()


def test_refusals(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, \.svg or \.html, got 'x\.pdf'"):
        plot_recording(recording, "x.pdf")
    linked = tmp_path / "job.svg"
    os.link(recording, linked)
    before = recording.read_bytes()
    assert main(["plot", str(recording), "-o", str(linked)]) == 1
    assert "is the recording itself" in capsys.readouterr().err
    assert recording.read_bytes() == before
    (tmp_path / "x").write_bytes(b"no recording" * 1000)
    assert main(["plot", str(tmp_path / "x")]) == 1
    assert main(["plot", str(tmp_path / "missing")]) == 1
    assert not list(tmp_path.glob("*.png"))


def test_without_matplotlib_it_says_what_to_install(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", str(recording)]) == 1
    error = capsys.readouterr().err
    assert error.endswith("plots need matplotlib: run pip install 'floodwall[plot]'\n")
    assert len(error.splitlines()) == 1
