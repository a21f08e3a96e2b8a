"""What must be so before a release; an archive that depends on nothing but its files."""

import importlib.util
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
assert _spec and _spec.loader
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-b", "main")
    (tmp_path / "setup.cfg").write_text("[metadata]\nversion = 0.2.0\n")
    (tmp_path / "CHANGES.md").write_text("# Changes\n\n## 0.2.0 - 2027-01-31\n\n- All is new.\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "All")
    return tmp_path


def commit(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    git(folder, "commit", "-am", "Change it")


def test_a_tree_that_is_ready(tree: Path) -> None:
    assert release.ready(tree) == "0.2.0"
    git(tree, "tag", "v0.2.0")
    assert release.ready(tree) == "0.2.0"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("setup.cfg", "[metadata]\nversion = 0.2.0.dev\n", "is none to release"),
        ("setup.cfg", "[metadata]\nversion = 0.3.0\n", "setup.cfg says 0.3.0"),
        ("CHANGES.md", "# Changes\n\n## Unreleased\n\n## 0.2.0\n", "begins with 'Unreleased'"),
        ("CHANGES.md", "# Changes\n", "begins with 'nothing'"),
    ],
)
def test_a_tree_that_is_not(tree: Path, name: str, text: str, sentence: str) -> None:
    commit(tree, name, text)
    with pytest.raises(release.Stop, match=sentence):
        release.ready(tree)


def test_changes_that_are_not_committed(tree: Path) -> None:
    (tree / "new.py").write_text("")
    with pytest.raises(release.Stop, match="not committed"):
        release.ready(tree)


def test_a_version_that_is_out_already(tree: Path) -> None:
    git(tree, "tag", "v0.2.0")
    commit(tree, "CHANGES.md", "# Changes\n\n## 0.2.0\n\n- All is newer.\n")
    with pytest.raises(release.Stop, match="tag of another commit"):
        release.ready(tree)


def pack(names: list[str], mtime: int, owner: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.mode = len(name), mtime, owner, 0o664
            archive.addfile(member, io.BytesIO(name.encode()))
    return made.getvalue()


def test_an_archive_of_the_same_files_is_the_same() -> None:
    one, other = pack(["a", "b.py"], 1, "ann"), pack(["b.py", "a"], 2_000_000_000, "bob")
    assert one != other
    assert release.settled(one, 1_700_000_000) == release.settled(other, 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(release.settled(one, 1_700_000_000))) as archive:
        assert archive.getnames() == ["a", "b.py"]
        assert archive.extractfile("b.py").read() == b"b.py"
