"""Where machine code is kept: nowhere that others can write, and no place is needed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import caching

import minicnn
from minicnn.backend.cpu import keeping

ROOT = Path(minicnn.__file__).parents[1]
POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no owners here")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The three places, empty, and nothing remembered of others."""
    folders = [tmp_path / name for name in ("chosen", "home", "temporary")]
    for folder in folders:
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folders[0]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders[1]))
    monkeypatch.setattr(tempfile, "tempdir", str(folders[2]))
    monkeypatch.setattr(keeping, "_refused", [])
    for remembering in (keeping._chosen, keeping.cache_folder):
        remembering.cache_clear()
    yield folders
    for remembering in (keeping._chosen, keeping.cache_folder):
        remembering.cache_clear()


def kernels(place: Path) -> Path:
    return place / f"kernels-{keeping.fingerprint()}"


def test_the_folder_that_is_named_comes_first_then_the_users_cache_then_the_temporary_folder(places, monkeypatch):
    chosen, home, temporary = places
    found = []
    for broken in (None, chosen, home, temporary):
        if broken:
            shutil.rmtree(broken)
            broken.write_text("no folder")
        keeping._chosen.cache_clear()
        keeping.cache_folder.cache_clear()
        found.append(keeping.cache_folder())
    assert found == [
        kernels(chosen), kernels(home / "minicnn"), kernels(temporary / f"minicnn-{os.getuid()}"), None,
    ]  # fmt: skip


def made(folder: Path, kind: str) -> None:
    """``folder``, in which others can put files: its own mode, another owner, or a link to such a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        folder.rmdir()
        elsewhere = folder.with_name("elsewhere")
        elsewhere.mkdir(mode=0o700)
        folder.symlink_to(elsewhere)
    elif kind == "another's":
        os.chown(folder, 65534, 65534)
    else:
        folder.chmod(int(kind, 8))


KINDS = ["0777", "0775", "1777", "link", *(["another's"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]


@POSIX
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["kernels", "minicnn"])
def test_no_folder_of_its_own_is_used_that_others_can_write(places, kind, level):
    (places[0]).chmod(0o777)  # so that the user's cache is next
    planted = places[1] / "minicnn" if level == "minicnn" else kernels(places[1] / "minicnn")
    planted.parent.mkdir(mode=0o700, exist_ok=True)
    made(planted, kind)
    assert keeping.cache_folder() == kernels(places[2] / f"minicnn-{os.getuid()}")
    assert "others may write" in keeping.described_cache() and str(places[0]) in keeping.described_cache()


@POSIX
def test_the_folder_above_may_be_everybodys_only_if_nobody_can_rename_what_is_in_it(places):
    places[0].chmod(0o1777)
    assert keeping.cache_folder() == kernels(places[0])
    assert keeping.cache_folder().stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_noticed_and_what_lies_there_is_read(places, monkeypatch):
    full = tempfile.TemporaryFile
    kernels(places[0]).mkdir(mode=0o700)

    def fill(dir, **options):
        if Path(dir).is_relative_to(places[0]):
            raise OSError(28, "No space left on device")
        return full(dir=dir, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", fill)
    assert keeping.cache_folder() == kernels(places[1] / "minicnn")
    assert "No space left on device" in keeping.described_cache()
    (kernels(places[0]) / "something.nbc").touch()
    keeping._chosen.cache_clear()
    keeping.cache_folder.cache_clear()
    assert keeping.cache_folder() == kernels(places[0])


def test_without_a_home(tmp_path):
    code = (
        "import os, pwd\n"
        "def getpwuid(user): raise KeyError(user)\n"
        "pwd.getpwuid = getpwuid\n"
        "from minicnn.backend.cpu.keeping import cache_folder\n"
        "print(cache_folder())"
    )
    env = {name: os.environ[name] for name in os.environ.keys() - {"HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"}}
    env |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == str(kernels(tmp_path / f"minicnn-{os.getuid()}")), done.stderr


# ---- any function that Numba compiles --------------------------------------------------------------------------------

SOURCE = "import numba\n\n\n@numba.njit(cache=True)\ndef triple(x):\n    return 3 * x\n"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 5, 40])
def test_a_damaged_file_is_replaced(tmp_path, monkeypatch, ending, left):
    monkeypatch.setattr(keeping.numba.config, "CACHE_DIR", "")
    path = tmp_path / "damaged.py"
    path.write_text(SOURCE)
    assert loaded(path).triple(2) == 6
    (file,) = (tmp_path / "__pycache__").glob(f"*.{ending}")
    file.write_bytes(file.read_bytes()[:left])
    for hits in (0, 1):
        module = loaded(path)
        assert module.triple(2) == 6 and sum(module.triple.stats.cache_hits.values()) == hits


@pytest.mark.parametrize("full", [False, True], ids=["no folder", "full disk"])
def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path, monkeypatch, full):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    if full:
        monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", refuse)
    else:
        for name in ("UserProvided", "InTree", "UserWide"):
            monkeypatch.setattr(getattr(caching, f"{name}CacheLocator"), "ensure_cache_path", refuse)
    path = tmp_path / "nowhere.py"
    path.write_text(SOURCE)
    for _ in range(2):
        assert loaded(path).triple(2) == 6
