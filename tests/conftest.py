"""What all tests share. They run on one BLAS thread: their matrices are too small for more."""

import os
import shutil
import signal
import subprocess

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when NumPy is first imported
for name in [name for name in os.environ if name.startswith("CHARLSTM_")]:
    if name != "CHARLSTM_TORTURE":  # how many times as long the tests that kill and fuzz take
        del os.environ[name]

import numpy as np  # noqa: E402
import pytest  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="the long form; takes an hour")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "torture: runs only with --torture")
    if config.getoption("--torture"):
        os.environ.setdefault("CHARLSTM_TORTURE", "20")  # before the tests are imported
    # nohup and a shell's "&" leave signals ignored, and so would the trainings that tests start.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


LONG_ONES = {"torture", "test_data_grammar.py", "test_documentation.py"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Or at the end one process works at them, and the others wait.
    items.sort(key=lambda item: LONG_ONES.isdisjoint({item.path.name, item.path.parent.name}))
    if config.getoption("--torture"):
        return
    long_ones = [item for item in items if item.get_closest_marker("torture")]
    if long_ones:
        config.hook.pytest_deselected(items=long_ones)
        items[:] = [item for item in items if item not in long_ones]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The figures that tests of the torture programme print, which pytest hides when they pass."""
    if not config.getoption("--torture"):
        return
    for report in terminalreporter.getreports("passed"):
        name = "Captured stdout call"
        for line in "".join(text for title, text in report.sections if title == name).splitlines():
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line}")


@pytest.fixture
def torture(request: pytest.FixtureRequest) -> bool:
    """Whether a test should take its time: more rounds, more seeds."""
    return bool(request.config.getoption("--torture"))


@pytest.fixture(scope="session")
def obedient() -> list[str]:
    """Words before a command that make it obey the permissions of files, as root does not."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which(words[0]) is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("root may write anywhere, and setpriv cannot take that right away")
    return words


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250101)
