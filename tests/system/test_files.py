"""Durable writing: what must survive faults, full disks, kills and the umask."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from faults import ERRORS, FaultyOs, names, operating_system
from places import ROOT

from charlstm.errors import FileError, SystemRefusedError
from charlstm.messages import show
from charlstm.system.files import (
    LineWriter,
    link_or_copy,
    make_folder,
    read_exactly,
    reading,
    remove,
    remove_strays,
    write_atomically,
    write_named,
    write_new_stream,
)


def assert_one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 600
    for part in parts:
        assert part in message


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_chunks_arrive_one_after_another_and_replace_what_was_there(tmp_path: Path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old and longer than the new")
    write_atomically(path, [b"one", memoryview(b""), memoryview(b"two"), b""])
    assert path.read_bytes() == b"onetwo"
    assert names(tmp_path) == ["a.bin"]


def test_chunks_may_be_views_of_wide_elements_and_a_generator(tmp_path: Path):
    wide = memoryview(b"abcdefgh").cast("I")
    write_atomically(tmp_path / "a", (chunk for chunk in [wide, b"!"]))
    assert (tmp_path / "a").read_bytes() == b"abcdefgh!"


def test_short_writes_are_continued(tmp_path: Path):
    class Reluctant(FaultyOs):
        def write(self, descriptor: int, data: memoryview) -> int:
            self.calls.append("write")
            return os.write(descriptor, data[:7])

    with operating_system(Reluctant()) as system:
        write_atomically(tmp_path / "a", [bytes(range(50)), b"end"])
    assert (tmp_path / "a").read_bytes() == bytes(range(50)) + b"end"
    assert system.calls.count("write") == 9


def test_a_write_that_writes_nothing_is_no_endless_loop(tmp_path: Path):
    class Stuck(FaultyOs):
        def write(self, descriptor: int, data: memoryview) -> int:
            return 0

    with operating_system(Stuck()), pytest.raises(SystemRefusedError):
        write_atomically(tmp_path / "a", [b"content"])
    assert names(tmp_path) == []


def test_order_of_the_calls(tmp_path: Path):
    """Content is synced before the rename, the folder after it."""
    with operating_system(FaultyOs()) as system:
        write_atomically(tmp_path / "a", [b"content"])
    assert system.calls == [
        *["open", "write", "fsync", "close"],
        "replace",
        *["open", "fsync", "close"],
    ]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_a_fault_at_any_call_of_a_write(tmp_path: Path, error: int, lasting: bool):
    path = tmp_path / "a"
    with operating_system(FaultyOs()) as counting:
        write_atomically(path, [b"old", b" content"])
    for number, name in enumerate(counting.calls):
        path.write_bytes(b"old content")
        faulty = FaultyOs(number, error, lasting=lasting)
        with operating_system(faulty), pytest.raises(SystemRefusedError) as caught:
            write_atomically(path, [b"new", b" content"])
        assert_one_line(caught, str(path), os.strerror(error), "11 bytes")
        renamed = "replace" in counting.calls[:number]
        assert path.read_bytes() == (b"new content" if renamed else b"old content"), name
        assert faulty.calls.count("fsync") <= 1 + renamed
        if not lasting:
            assert names(tmp_path) == ["a"], name
        remove_strays(tmp_path)
        assert names(tmp_path) == ["a"]


def test_an_interrupt_removes_the_temporary_file(tmp_path: Path):
    class Interrupted(FaultyOs):
        def fsync(self, descriptor: int) -> None:
            raise KeyboardInterrupt

    with operating_system(Interrupted()), pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", [b"content"])
    assert names(tmp_path) == []


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(names(folder)) if folder.exists() else 0


def test_no_descriptor_is_leaked_by_faults(tmp_path: Path):
    before = open_descriptors()
    for number in range(8):
        with operating_system(FaultyOs(number)), pytest.raises(SystemRefusedError):
            write_atomically(tmp_path / "a", [b"content"])
        with operating_system(FaultyOs(number)), suppress(SystemRefusedError):
            LineWriter(tmp_path / "b").close()
    assert open_descriptors() == before


def test_a_folder_that_cannot_be_synced_is_accepted(tmp_path: Path):
    for error in (errno.EINVAL, errno.ENOTSUP):
        with operating_system(FaultyOs(6, error)) as system:
            write_atomically(tmp_path / "a", [b"content"])
        assert system.calls[6] == "fsync"
        with operating_system(FaultyOs(2, error)), pytest.raises(SystemRefusedError):
            write_atomically(tmp_path / "a", [b"content"])


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_modes_follow_the_umask(tmp_path: Path, mask: int, mode: int):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "a", [b"content"])
        LineWriter(tmp_path / "b").close()
    finally:
        os.umask(before)
    for name in "ab":
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/a", "No such file"),
        ("file/a", "Not a directory"),
        ("n" * 300, "too long"),
        ("nul\0byte", "null byte"),
        ("folder", "directory"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, reason: str):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemRefusedError) as caught:
        write_atomically(tmp_path / name, [b"content"])
    assert_one_line(caught, reason)
    assert names(tmp_path) == ["file", "folder"]
    with pytest.raises(SystemRefusedError):
        write_atomically(Path("/"), [b"content"])


def in_child(
    code: str, *arguments: object, before: Sequence[str] = (), **options
) -> subprocess.CompletedProcess:
    """Run ``code`` in a fresh interpreter, where limits may be set."""
    return subprocess.run(
        [*before, sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


def test_a_read_only_folder(tmp_path: Path, obedient: list[str]):
    (tmp_path / "folder").mkdir(mode=0o555)
    code = """if True:
        import sys
        from pathlib import Path
        from charlstm.errors import SystemRefusedError
        from charlstm.system.files import write_atomically
        try:
            write_atomically(Path(sys.argv[1], "folder", "a"), [b"content"])
        except SystemRefusedError as error:
            print(error)
    """
    done = in_child(code, tmp_path, before=obedient)
    assert done.stderr == ""
    assert "Permission denied" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert list((tmp_path / "folder").iterdir()) == []


def test_file_size_limit(tmp_path: Path):
    """RLIMIT_FSIZE, which Python turns from a death by SIGXFSZ into EFBIG."""
    write_atomically(tmp_path / "a", [b"old"])
    code = """if True:
        import sys; from pathlib import Path
        from charlstm.errors import SystemRefusedError
        from charlstm.system.files import write_atomically
        try: write_atomically(Path(sys.argv[1]), [b"x" * 100_000])
        except SystemRefusedError as error: print(error)
    """
    limited = in_child(
        code,
        tmp_path / "a",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert "File too large (needs 100.0 kB). Raise the limit" in limited.stdout, limited.stderr
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_small_disk_filled(tmp_path: Path):
    """A real file system of 1 MB, where the kernel lets us mount one."""
    code = """if True:
        import os, sys; from pathlib import Path
        from charlstm.errors import SystemRefusedError
        from charlstm.system.files import write_atomically
        path = Path(sys.argv[1]) / "a"
        write_atomically(path, [b"o" * 600_000])
        try: write_atomically(path, [b"n" * 300_000, b"n" * 300_000])
        except SystemRefusedError as error: print(error)
        print(os.listdir(sys.argv[1]), path.read_bytes() == b"o" * 600_000)
    """
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    filled = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "mount" in filled.stderr or "unshare" in filled.stderr:
        pytest.skip(f"no private mounts here: {filled.stderr.strip()}")
    assert "No space left on device (needs 600.0 kB). Free some space." in filled.stdout
    assert filled.stdout.endswith("['a'] True\n"), filled.stderr


def test_links(tmp_path: Path):
    one, two, best = (tmp_path / name for name in ("one", "two", "best"))
    one.write_bytes(b"first")
    two.write_bytes(b"second")
    link_or_copy(one, best)
    assert best.samefile(one)
    link_or_copy(two, best)
    link_or_copy(two, best)
    assert best.read_bytes() == b"second"
    assert one.read_bytes() == b"first"
    two.unlink()
    assert best.read_bytes() == b"second"
    assert names(tmp_path) == ["best", "one"]


def test_a_copy_where_links_fail(tmp_path: Path):
    class Linkless(FaultyOs):
        def link(self, source: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

    (tmp_path / "one").write_bytes(b"first")
    with operating_system(Linkless()):
        link_or_copy(tmp_path / "one", tmp_path / "best")
    assert (tmp_path / "best").read_bytes() == b"first"
    assert not (tmp_path / "best").samefile(tmp_path / "one")
    assert names(tmp_path) == ["best", "one"]


def test_a_link_at_the_target_is_replaced_and_not_followed(tmp_path: Path):
    (tmp_path / "one").write_bytes(b"first")
    for destination in ("one", "nowhere"):
        remove(tmp_path / "best")
        (tmp_path / "best").symlink_to(destination)
        link_or_copy(tmp_path / "one", tmp_path / "best")
        assert not (tmp_path / "best").is_symlink()
        assert (tmp_path / "best").read_bytes() == b"first"


def test_strays_of_the_dead_are_removed_and_nothing_else(tmp_path: Path):
    dead, living = dead_pid(), os.getppid()
    gone = [f".tmp-a-{dead}", f".tmp-step-00000001.safetensors-{os.getpid()}", ".tmp-a-9999999999"]
    kept = [f".tmp-a-{living}", ".tmp-a", ".tmp-a-0", ".tmp-a-12x", f"tmp-a-{dead}", "a"]
    for name in gone + kept:
        (tmp_path / name).touch()
    (tmp_path / f".tmp-folder-{dead}").mkdir()
    (tmp_path / f".tmp-link-{dead}").symlink_to(tmp_path / "a")
    remove_strays(tmp_path)
    left = set(names(tmp_path))
    assert left == {*kept, f".tmp-folder-{dead}", f".tmp-link-{dead}"}


def test_a_stray_with_our_own_number_is_replaced_and_not_written_through(tmp_path: Path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / f".tmp-a-{os.getpid()}").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "a", [b"content"])
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"content"
    assert names(tmp_path) == ["a", "precious"]


def test_make_folder(tmp_path: Path):
    with operating_system(FaultyOs()) as system:
        make_folder(tmp_path / "a" / "b")
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert system.calls == 2 * ["mkdir", "open", "fsync", "close"]
    (tmp_path / "file").touch()
    for bad in ("file", "file/a", "n" * 300, "nul\0", "x/" * 9 + "n" * 300):
        with pytest.raises(SystemRefusedError) as caught:
            make_folder(tmp_path / bad)
        assert str(caught.value).startswith("cannot create ")
        assert str(caught.value).isprintable()
    assert names(tmp_path) == ["a", "file"]


def test_lines_are_in_the_file_at_once_and_length_counts_bytes(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with LineWriter(path) as writer:
        writer.append('{"step": 1}')
        assert path.read_bytes() == b'{"step": 1}\n'
        writer.append("\u00e9\ud800")
        writer.sync()
        assert path.read_bytes() == '{"step": 1}\n\u00e9\\ud800\n'.encode()
        assert writer.length == path.stat().st_size
    with LineWriter(path) as writer:
        assert writer.length == path.stat().st_size
        writer.append("3")
    assert path.read_bytes().endswith(b"\\ud800\n3\n")


def test_truncate_to(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"one\ntwo\nthr")
    with LineWriter(path) as writer:
        assert writer.truncate_to(8) == 0
        writer.append("three")
        assert path.read_bytes() == b"one\ntwo\nthree\n"
        assert writer.truncate_to(100) == 86
        assert path.read_bytes() == b"one\ntwo\nthree\n"
        assert writer.truncate_to(14) == 0
        assert writer.truncate_to(0) == 0
    assert path.read_bytes() == b""


def test_a_killed_process_loses_no_line(tmp_path: Path):
    code = """if True:
        import os, signal, sys; from pathlib import Path
        from charlstm.system.files import LineWriter
        writer = LineWriter(Path(sys.argv[1]))
        for step in range(100): writer.append(f"line {step}")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert in_child(code, tmp_path / "a").returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_text().splitlines() == [f"line {step}" for step in range(100)]


def add_a_line(path: Path) -> None:
    with LineWriter(path) as writer:
        writer.append("a new line")
        writer.sync()


@pytest.mark.parametrize("error", ERRORS)
def test_a_fault_while_adding_lines_leaves_no_torn_line(tmp_path: Path, error: int):
    path = tmp_path / "metrics.jsonl"
    for number in range(7):  # open, folder: open fsync close, write, fsync, close
        path.write_bytes(b"old\n")
        faulty = FaultyOs(number, error)
        with operating_system(faulty), pytest.raises(SystemRefusedError) as caught:
            add_a_line(path)
        assert_one_line(caught, str(path), os.strerror(error))
        assert len(faulty.calls) > number
        assert path.read_bytes() in (b"old\n", b"old\na new line\n")


def test_a_torn_line_is_dropped_wherever_the_file_is_cut(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    long = "x" * 200_000  # so that its beginning lies several reads before its end
    path.write_text(f"one\n{long}\ntwo\nthr")
    for length, left, missing in (
        (200_099, 200_009, 90),
        (200_008, 200_005, 3),
        (150_000, 4, 149_996),
        (3, 0, 3),
    ):
        with LineWriter(path) as writer:
            assert writer.truncate_to(length) == missing
            assert writer.length == path.stat().st_size == left
    with LineWriter(path) as writer:
        writer.append("anew")
    assert path.read_text() == "anew\n"


@pytest.mark.parametrize("target", ["precious", "missing", "/dev/full", "folder"])
def test_lines_are_never_written_through_a_link(tmp_path: Path, target: str):
    (tmp_path / "precious").write_text("one\ntwo\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "metrics.jsonl").symlink_to(target)
    with pytest.raises(SystemRefusedError) as caught:
        LineWriter(tmp_path / "metrics.jsonl")
    assert_one_line(caught, "metrics.jsonl: Too many levels of symbolic links. What a link")
    assert (tmp_path / "precious").read_text() == "one\ntwo\n"
    assert names(tmp_path) == ["folder", "metrics.jsonl", "precious"]


def test_a_file_with_other_names_is_copied_before_a_line_is_changed(tmp_path: Path):
    (tmp_path / "precious").write_text("one\ntwo\n")
    os.link(tmp_path / "precious", tmp_path / "metrics.jsonl")
    for text, left in (("three", "one\nthree\n"), ("four", "one\nfour\n")):
        with LineWriter(tmp_path / "metrics.jsonl") as writer:
            writer.truncate_to(4)
            writer.append(text)
        assert (tmp_path / "metrics.jsonl").read_text() == left
    assert (tmp_path / "precious").read_text() == "one\ntwo\n"
    assert names(tmp_path) == ["metrics.jsonl", "precious"]


def test_lines_to_a_pipe_are_refused_and_do_not_wait(tmp_path: Path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    start = time.monotonic()
    for reader in (None, os.open(tmp_path / "metrics.jsonl", os.O_RDONLY | os.O_NONBLOCK)):
        with pytest.raises(SystemRefusedError, match="is a device or a pipe, not a file"):
            LineWriter(tmp_path / "metrics.jsonl")
        if reader is not None:
            os.close(reader)
    assert time.monotonic() - start < 1


def test_reading(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with reading(tmp_path / "a") as (stream, size):
        assert size == 10
        assert read_exactly(stream, 4) == b"0123"
        assert read_exactly(stream, 100) == b"456789"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No such file or directory"),
        ("folder", "is a folder, not a file"),
        ("fifo", "is a device or a pipe"),
        ("zero", "is a device or a pipe"),
        ("loop", "symbolic link"),
        ("nul\0", "null byte"),
        ("n" * 300, "too long"),
        ("esc\x1b[2Jape\n", "No such file"),
        ("\udc80", "No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(tmp_path: Path, name: str, reason: str):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    start = time.monotonic()
    with pytest.raises(FileError) as caught, reading(tmp_path / name):
        pass
    assert_one_line(caught, show(tmp_path / name), reason)
    assert time.monotonic() - start < 1


def test_show():
    assert show(Path("runs/\u00e9t\u00e9 1")) == "runs/\u00e9t\u00e9 1"
    assert show(Path("a\x1b[2J\nb\u202e\udc80")) == r"a\x1b[2J\nb\u202e\udc80"


def test_an_interrupt_where_it_would_end_the_program_cleans_up(tmp_path: Path):
    program = f"""
import os, signal
from pathlib import Path
from charlstm.system.files import write_stream_atomically
signal.signal(signal.SIGINT, signal.SIG_DFL)
def chunks():
    yield b"half"
    assert len(os.listdir({str(tmp_path)!r})) == 1
    os.kill(os.getpid(), signal.SIGINT)
    yield b"whole"
try:
    write_stream_atomically(Path({str(tmp_path)!r}) / "page.html", chunks())
except KeyboardInterrupt:
    print(os.listdir({str(tmp_path)!r}), signal.getsignal(signal.SIGINT) is signal.SIG_DFL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] True\n", "")


def test_pipes_and_devices_are_not_replaced_by_files(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(FileError, match=rf"{name}: neither a file nor a new name"):
            write_named(tmp_path / name, [b"text"])
    with pytest.raises(FileError):
        write_named(Path(os.devnull), [b"text"])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


def test_a_stream_never_replaces_what_came_first(tmp_path: Path):
    path = tmp_path / "text.txt"

    def overtaken() -> Iterator[bytes]:
        yield b"slow "
        path.write_bytes(b"fast")
        yield b"text"

    assert not write_new_stream(path, overtaken())
    assert path.read_bytes() == b"fast"
    assert write_new_stream(path, [b"fa", b"st"])
    assert names(tmp_path) == ["text.txt"]
    assert write_new_stream(tmp_path / "new", [b"one", b"two"])
    assert (tmp_path / "new").read_bytes() == b"onetwo"
    assert names(tmp_path) == ["new", "text.txt"]


def test_a_stream_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_links(*names: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert write_new_stream(tmp_path / "new", [b"one"])
    assert not write_new_stream(tmp_path / "new", [b"two"])
    assert (tmp_path / "new").read_bytes() == b"one"
    assert names(tmp_path) == ["new"]
