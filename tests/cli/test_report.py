"""``charlstm report``; the page itself is tested in tests/look/curves/test_run_page.py."""

from pathlib import Path

from charlstm.saved.run_folder import RunFolder


def test_it_writes_a_page(run: Path, call):
    assert call("report", run, "-o", "a.html") == (0, "", "Written: a.html\n")
    text = Path("a.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>c · charlstm</title>" in text
    assert text.count("<figure>") == 3


def test_a_run_that_is_training(run: Path, call):
    with RunFolder(run).lock():
        assert call("report", run, "-o", "a.html").code == 0
    assert "running" in Path("a.html").read_text()


def test_what_is_refused(run: Path, refuse):
    assert "not the folder of a run" in refuse(3, "report", ".", "-o", "a.html")
    assert "Missing option '-o'" in refuse(2, "report", run)
    assert "cannot write nowhere/a.html" in refuse(5, "report", run, "-o", "nowhere/a.html")
    assert not Path("a.html").exists()
