"""The set-up scripts: what they say when something is missing, and that they install only once."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
BASH = shutil.which("bash") or "/bin/bash"


def run_setup(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run shell code after the set-up functions, in a folder, in an environment of its own."""
    script = f"set -euo pipefail; . {shlex.quote(str(SCRIPTS / 'setup_env.sh'))}; {code}"
    return subprocess.run(
        [BASH, "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )


def write_program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["run.sh", "test.sh", "setup_env.sh"])
def test_a_script_is_valid_shell(name: str) -> None:
    subprocess.run([BASH, "-n", SCRIPTS / name], check=True)


def test_a_missing_compiler_is_told_with_what_to_install(tmp_path: Path) -> None:
    done = run_setup("require_compiler", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "build-essential" in done.stderr and "xcode-select" in done.stderr


def test_a_compiler_named_with_options_counts(tmp_path: Path) -> None:
    for name in ("my-cc", "my-cxx"):
        write_program(tmp_path / name, "exit 0")
    path = str(tmp_path)
    done = run_setup("require_compiler", tmp_path, PATH=path, CC="my-cc -m64", CXX="my-cxx")
    assert done.returncode == 0


def test_a_compiler_that_only_says_it_is_not_installed_does_not_count(tmp_path: Path) -> None:
    """macOS has such a cc and c++ until its command line tools are installed."""
    for name in ("cc", "c++"):
        write_program(tmp_path / name, "exit 1")
    done = run_setup("require_compiler", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1 and "xcode-select --install" in done.stderr


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    write_program(tmp_path / "python3", "exit 1")
    done = run_setup("find_python", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1 and "3.11 or newer is needed" in done.stderr
    done = run_setup("find_python", tmp_path, PATH=str(tmp_path), PYTHON="python3")
    assert done.returncode == 1 and "PYTHON=python3 is not" in done.stderr


def test_the_newest_python_on_the_path_is_taken(tmp_path: Path) -> None:
    for name in ("python3", "python3.12"):
        write_program(tmp_path / name, "exit 0")
    assert run_setup("find_python", tmp_path, PATH=str(tmp_path)).stdout.strip() == "python3.12"


def test_a_python_newer_than_those_known_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    write_program(tmp_path / "python3", "exit 1")
    write_program(tmp_path / "python3.14", "exit 0")
    assert run_setup("find_python", tmp_path, PATH=str(tmp_path)).stdout.strip() == "python3.14"
    write_program(tmp_path / "python3.12", "exit 0")
    assert run_setup("find_python", tmp_path, PATH=str(tmp_path)).stdout.strip() == "python3.12"


def test_a_python_without_venv_is_told_with_the_package_of_its_version(tmp_path: Path) -> None:
    write_program(
        tmp_path / "python",
        'case "$*" in *"-m venv"*) mkdir .venv; exit 1;; *print*) echo 3.12;;'
        " *ensurepip*) test -f whole;; esac",
    )
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python")}
    done = run_setup("set_up_environment", tmp_path, **environment)
    assert done.returncode == 1 and "apt-get install python3.12-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()
    (tmp_path / "whole").touch()
    done = run_setup("set_up_environment", tmp_path, **environment)
    assert done.returncode == 1 and "disk is full" in done.stderr and "apt" not in done.stderr


@pytest.mark.parametrize("name", ["run.sh", "test.sh"])
def test_a_script_finds_its_folder_whatever_cdpath_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "scripts").mkdir(parents=True)
    done = run_without_python(name, tmp_path, BASH, CDPATH=str(tmp_path / "elsewhere"))
    assert done.returncode == 1 and "PYTHON=none is not" in done.stderr


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs a shell that is not bash")
@pytest.mark.parametrize("name", ["run.sh", "test.sh"])
def test_a_script_that_is_given_to_another_shell_runs_in_bash(name: str, tmp_path: Path) -> None:
    done = run_without_python(name, tmp_path, "dash")
    assert done.returncode == 1 and "PYTHON=none is not" in done.stderr


def run_without_python(
    name: str, folder: Path, shell: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script of a checkout in ``folder``, called from there, as far as it goes."""
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("*.py", "starter"))
    return subprocess.run(
        [shell, f"scripts/{name}"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHON": "none", **environment},
        capture_output=True,
        text=True,
    )


def test_a_script_run_with_the_wrong_python_says_which_one_to_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPTS / "download_models.py", "laptop"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and ".venv/bin/python" in done.stderr


def test_the_script_for_models_shows_a_usage_that_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "download_models.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Usage: voice-gateway models download [OPTIONS]" in done.stderr


def test_it_installs_once_and_again_when_the_project_changed(tmp_path: Path) -> None:
    # A stand-in for the environment's Python: new enough, counts installations, hashes the project.
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *"pip install"*) echo "$*" >>installs;; *hashlib*) cat pyproject.toml;; esac',
    )
    (tmp_path / "pyproject.toml").write_text("one\n")
    path = os.environ["PATH"]

    def installs(*extras: str) -> int:
        for extra in extras:
            assert run_setup(f"set_up_environment {extra}", tmp_path, PATH=path).returncode == 0
        return len((tmp_path / "installs").read_text().splitlines())

    assert installs("", "") == 1
    assert installs("dev", "dev") == 2
    assert (tmp_path / "installs").read_text().splitlines()[1].endswith("-e .[dev]")
    (tmp_path / "pyproject.toml").write_text("two\n")
    assert installs("", "") == 3


def test_everything_is_checked_after_the_checkout_was_moved(tmp_path: Path) -> None:
    """Commands of the environment, but for the gateway's own, then name a Python that is gone."""
    (tmp_path / "scripts").mkdir()
    for name in ("test.sh", "setup_env.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
    (tmp_path / "pyproject.toml").touch()
    programs = tmp_path / ".venv" / "bin"
    write_program(programs / "python", 'echo "python $*" >>calls')
    write_program(programs / "ruff", 'echo "ruff $*" >>calls')
    for name in ("mypy", "pytest"):
        (programs / name).write_text(f"#!{tmp_path}/gone/python\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [BASH, tmp_path / "scripts" / "test.sh", "tests/audio", "-k", "a tone"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines()[-4:] == [
        "ruff check",
        "ruff format --check",
        "python -m mypy",
        "python -m pytest tests/audio -k a tone",
    ]


def test_llama_cpp_is_built_without_its_amx_code(tmp_path: Path) -> None:
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *"pip install"*) echo "$CFLAGS|$CXXFLAGS" >flags;; *hashlib*) echo 1;; esac',
    )
    path = os.environ["PATH"]
    done = run_setup("set_up_environment", tmp_path, PATH=path, CFLAGS="-O3")
    assert done.returncode == 0
    assert (tmp_path / "flags").read_text() == "-O3 -U__AMX_INT8__|-U__AMX_INT8__\n"


def test_packages_that_were_carried_here_need_no_compiler(tmp_path: Path) -> None:
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *llama_cpp*) exit 1;; *"pip install"*) : >installed;;'
        " *hashlib*) echo 1;; esac",
    )
    (tmp_path / "cat").symlink_to(shutil.which("cat") or "")
    path = str(tmp_path)
    assert run_setup("set_up_environment", tmp_path, PATH=path).returncode == 1
    assert not (tmp_path / "installed").exists()
    carried = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"}
    done = run_setup("set_up_environment", tmp_path, PATH=path, **carried)
    assert done.returncode == 0 and "the packages in wheels" in done.stdout
    assert (tmp_path / "installed").exists()


def test_packages_are_taken_from_the_folder_beside_the_scripts_whatever_its_path(
    tmp_path: Path,
) -> None:
    """A path with a space cannot be given to pip in a variable."""
    folder = tmp_path / "voice gateway"
    write_program(
        folder / ".venv" / "bin" / "python",
        'case "$*" in *llama_cpp*) exit 1;; *"pip install"*) printf "%s\\n" "$@" >arguments;;'
        " *hashlib*) echo 1;; esac",
    )
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1"}
    done = run_setup("set_up_environment", folder, **environment)
    assert done.returncode == 0
    assert f"no folder {folder}/wheels" in done.stdout and "PIP_FIND_LINKS" in done.stdout
    assert "--find-links" not in (folder / "arguments").read_text()
    (folder / "wheels").mkdir()
    done = run_setup("set_up_environment dev", folder, **environment, PIP_FIND_LINKS="/more")
    assert f"the packages in {folder}/wheels and /more." in done.stdout
    given = (folder / "arguments").read_text().splitlines()
    assert given[-4:] == ["--find-links", f"{folder}/wheels", "-e", ".[dev]"]


@pytest.mark.parametrize("value", ["0", "false", "No", "OFF", "n", "f", ""])
def test_an_index_that_pip_may_use_needs_a_compiler_and_no_carried_packages(
    tmp_path: Path, value: str
) -> None:
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *llama_cpp*) exit 1;; *hashlib*) echo 1;; esac',
    )
    (tmp_path / "wheels").mkdir()
    done = run_setup("set_up_environment", tmp_path, PATH=str(tmp_path), PIP_NO_INDEX=value)
    assert done.returncode == 1 and "compiler is needed" in done.stderr


def test_it_installs_into_the_environment_also_where_pip_prefers_the_home(tmp_path: Path) -> None:
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *"pip install"*) echo "$PIP_USER" >user;; *hashlib*) echo 1;; esac',
    )
    run_setup("set_up_environment", tmp_path, PATH=os.environ["PATH"], PIP_USER="1")
    assert (tmp_path / "user").read_text() == "0\n"


def test_an_environment_that_was_left_without_pip_is_made_anew(tmp_path: Path) -> None:
    write_program(tmp_path / ".venv" / "bin" / "python", 'case "$*" in *pip*) exit 1;; esac')
    write_program(tmp_path / "whole", 'case "$*" in *hashlib*) echo same;; esac')
    # Whose "-m venv" puts a Python with pip there.
    write_program(tmp_path / "python", 'case "$*" in *venv*) cp whole .venv/bin/python;; esac')
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python")}
    done = run_setup("set_up_environment", tmp_path, **environment)
    assert done.returncode == 0 and "Making .venv" in done.stdout
    done = run_setup("set_up_environment", tmp_path, **environment)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_failed_installation_is_tried_again(tmp_path: Path) -> None:
    write_program(
        tmp_path / ".venv" / "bin" / "python",
        'case "$*" in *"pip install"*) exit 1;; *hashlib*) echo same;; esac',
    )
    for _ in range(2):
        done = run_setup("set_up_environment", tmp_path, PATH=os.environ["PATH"])
        assert done.returncode == 1 and "installation failed" in done.stderr
