"""What a run must not replace, forget or begin with, and says before anything is changed."""

from pathlib import Path
from typing import Any

import pytest
from tiny import TEXT, newest, tiny_config, train

from charlstm.errors import ConfigError, FileError, RunFolderTakenError, SystemRefusedError
from charlstm.saved.checkpoint import require_room
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.training import run, worker
from charlstm.training.dataset import read_dataset
from charlstm.training.ranks import ranks_for
from charlstm.training.resuming import Options

LIST = "".join(f"ham\tthe sea {n % 7}\nspam\ta calm noon {n % 5}\n" for n in range(40))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(it): it.read_bytes() for it in folder.rglob("*") if it.is_file()}


@pytest.mark.parametrize("growth", ["refuse", "grow"])
def test_a_text_does_not_begin_with_the_model_of_a_list(tmp_path: Path, growth: str):
    """Its checkpoints could never be read."""
    (tmp_path / "list").mkdir()
    settings = {"data.items": "lines", "data.labels": True}
    train(tiny_config(tmp_path / "list", LIST, **settings), tmp_path / "source")
    (tmp_path / "run").mkdir()
    others = {"init_from": str(tmp_path / "source"), "data.new_characters": growth}
    config = tiny_config(tmp_path, "the calm sea\n" * 40, **others)
    with pytest.raises(ConfigError, match=r"init_from: .*reads items of a list"):
        train(config, tmp_path / "run")
    assert contents(tmp_path / "run") == {}


def test_the_kind_of_model_is_checked_before_its_speed(tmp_path: Path):
    (tmp_path / "a").mkdir()
    train(tiny_config(tmp_path / "a"), tmp_path / "source")
    others = {"init_from": str(tmp_path / "source"), "model.hidden_size": 7}
    others |= {"training.minutes": 1.0, "training.steps": None}
    with pytest.raises(ConfigError, match=r"model\.hidden_size is 7 \(there: 5\)"):
        train(tiny_config(tmp_path, **others), tmp_path / "run")


def test_the_old_run_is_erased_once_nothing_can_be_refused(tmp_path: Path, monkeypatch):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run")
    before = contents(tmp_path / "run")

    def no_memory(*args: Any) -> Any:
        raise SystemRefusedError("cannot share memory with the workers")

    monkeypatch.setattr(run, "ranks_for", no_memory)
    with pytest.raises(SystemRefusedError):
        run.run_training(config, tmp_path / "run", Options(overwrite=True, quiet=True), print)
    assert contents(tmp_path / "run") == before
    monkeypatch.undo()
    config = tiny_config(tmp_path, **{"training.steps": 7})
    run.run_training(config, tmp_path / "run", Options(overwrite=True, quiet=True), print)
    assert RunFolder(tmp_path / "run").steps() == [7, 5]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "# mine\nmodel: {hidden_size: 5}  # why not\n"),
        ("metrics.jsonl", "what another program measures\n"),
        ("samples.txt", "soil, water\n"),
    ],
)
def test_files_of_others_stay_on_resuming(tmp_path: Path, name: str, content: str):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(content)
    config = tiny_config(tmp_path, **{"output.sample_every": 2})
    with pytest.raises(RunFolderTakenError, match="no run has written this"):
        train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / name).read_text() == content


@pytest.mark.parametrize("torn", ["", "{"])
def test_a_run_that_came_to_no_checkpoint_begins_again(tmp_path: Path, torn: str):
    config = tiny_config(tmp_path, **{"output.sample_every": 2, "evaluation.every": 0})
    train(config, tmp_path / "run", stop_after=2)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "run" / "metrics.jsonl").write_text(torn)
    assert (tmp_path / "run" / "samples.txt").stat().st_size > 0
    train(config, tmp_path / "run", resume=True)
    assert newest(tmp_path / "run").progress.step == 20


def test_files_joined_are_another_list(tmp_path: Path):
    """The first has no line end of its own, so that joined it has one item less."""
    (tmp_path / "a").write_text("ham\tone\n" * 20 + "spam\ttwo")
    (tmp_path / "b").write_text("ham\tthree\n" * 20)
    (tmp_path / "ab").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    settings: dict[str, Any] = {"data.items": "lines", "training.steps": 4}
    two = [str(tmp_path / "a"), str(tmp_path / "b")]
    train(tiny_config(tmp_path, **settings, **{"data.files": two}), tmp_path / "run")
    joined = tiny_config(tmp_path, **settings, **{"data.files": [str(tmp_path / "ab")]})
    with pytest.raises(FileError, match="not the text this run was trained on"):
        train(joined, tmp_path / "run", resume=True)


def test_a_worker_reads_the_text_of_rank_0(tmp_path: Path, monkeypatch):
    config = tiny_config(tmp_path, **{"training.workers": 2})
    setups: list[Any] = []
    monkeypatch.setattr("charlstm.training.ranks.local_ranks", lambda *args: setups.append(args[2]))
    ranks_for(read_dataset(config), RunFolder(tmp_path / "run"), None)
    tiny_config(tmp_path, TEXT.swapcase())
    with pytest.raises(FileError, match=r"text\.txt: rank 0 reads another text there than rank 0"):
        worker.work(Alone(), setups[0])


def test_what_evaluations_read_may_not_change(tmp_path: Path):
    """Or the best of two measures would be taken."""
    train(tiny_config(tmp_path, **{"evaluation.characters": 20}), tmp_path / "run", stop_after=6)
    with pytest.raises(ConfigError, match=r"evaluation\.characters is 0 \(checkpoint: 20\)"):
        train(tiny_config(tmp_path), tmp_path / "run", resume=True)


def test_a_lower_rate_has_no_higher_minimum(tmp_path: Path):
    cosine: dict[str, Any] = {"schedule.kind": "cosine", "schedule.minimum": "auto"}
    train(tiny_config(tmp_path, **cosine), tmp_path / "run", stop_after=6)
    assert newest(tmp_path / "run").config.schedule.minimum == 1e-4
    train(
        tiny_config(tmp_path, **cosine, **{"training.learning_rate": 2e-5}),
        tmp_path / "run",
        resume=True,
    )
    assert newest(tmp_path / "run").config.schedule.minimum == 2e-5


def test_more_names_than_a_checkpoint_holds_are_refused_before_the_first_step(tmp_path: Path):
    names = [f"corpus/{number:036}.txt" for number in range(25_000)]
    with pytest.raises(ConfigError, match=r"25,000 names .* a glob in quotes"):
        require_room(tiny_config(tmp_path, **{"data.files": names}))
    require_room(tiny_config(tmp_path, **{"data.files": names[:2_000]}))
