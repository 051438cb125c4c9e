"""What stands beside the code is true: what a release holds, the workflow, hooks, citation."""

import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import DOCS, ROOT

import charlstm
from charlstm.cli.main import COMMANDS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> dict[str, Any]:
    return dict(read(WORKFLOW)["jobs"])


def pythons(job: dict[str, Any]) -> list[str]:
    """The versions that a job runs on."""
    matrix = job.get("strategy", {}).get("matrix", {}).get("python", [])
    (setup,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    return list(matrix) or [setup["python-version"]]


def run_lines() -> list[str]:
    """Every command of the workflow and of the hooks."""
    of_jobs = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    return of_jobs + [hook["entry"] for hook in local["hooks"]]


# A release


def names_in_release(folder: Path) -> set[str]:
    buildapi = pytest.importorskip("flit_core.buildapi", reason="flit_core is not installed")
    with tarfile.open(folder / buildapi.build_sdist(str(folder))) as archive:
        found = archive.getmembers()
        files = [one.name for one in found if one.isfile() or one.issym()]
    return {name.partition("/")[2] for name in files} - {"PKG-INFO"}


def names_in_git() -> set[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git, or no checkout of it: nobody knows which files belong to the project")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = {name for name in os.fsdecode(listed.stdout).split("\0") if name}
    return {name for name in names if (ROOT / name).exists()}


def test_a_release_holds_every_file_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So its tests, make and the docs' examples work from it."""
    known = names_in_git()
    monkeypatch.chdir(ROOT)
    assert known - names_in_release(tmp_path) == set()


def test_what_a_release_should_hold_is_there():
    """Holds in an unpacked release as well, where there is no git to ask."""
    included = PROJECT["tool"]["flit"]["sdist"]["include"]
    assert [name for name in included if not (ROOT / name).exists()] == []


# Versions


def test_the_workflow_runs_on_every_python_that_is_promised():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert pythons(jobs()["test"]) == named
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert pythons(jobs()["oldest"]) == named[:1]
    assert pythons(jobs()["lint"]) == pythons(jobs()["plain"]) == [named[0], named[-1]]


def test_every_required_package_has_an_oldest_version():
    """``make oldest`` puts == in the place of >=."""
    for requirement in PROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[a-z]+>=[\d.]+", requirement)


def test_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == charlstm.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["keywords"] == PROJECT["project"]["keywords"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["project"]["authors"]
    ]


# Commands


@pytest.mark.parametrize("line", run_lines())
def test_commands_of_workflow_and_hooks_exist(line: str):
    assert subprocess.run(["bash", "-n", "-c", line], check=False).returncode == 0
    program, *words = line.split()
    if program == "make":
        targets = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        assert targets
        assert [t for t in targets if not re.search(rf"^{t}:", MAKEFILE, re.MULTILINE)] == []
    elif program == "charlstm":
        assert words[0] in (*COMMANDS, "--help")
        assert [
            word for word in words if word.endswith(".yaml") and not (ROOT / word).exists()
        ] == []
    elif program == "bash":
        assert (ROOT / words[0]).is_file()
    else:
        assert (program, *words[:2]) in {("python", "-m", "pip"), ("python", "-m", "build")} or (
            program == "tar"
        )


# Pages and forms


def test_the_index_of_pages_leads_to_every_page():
    index = DOCS / "README.md"
    linked = re.findall(r"\]\(([^)#]+)\)", index.read_text(encoding="utf-8"))
    assert {*DOCS.glob("*.md")} - {index} <= {(DOCS / link).resolve() for link in linked}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_each_thing_once(form: Path):
    if form.stem == "config":
        assert read(form) == {"blank_issues_enabled": True}
        return
    fields = [part for part in read(form)["body"] if part["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names) >= 3
    assert all(field["attributes"]["label"] for field in fields)


def test_make_help_names_every_target():
    (targets,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    told = re.findall(r'@echo "make (\w+) ', MAKEFILE)
    assert set(told) == set(targets.split()) - {"help"}
