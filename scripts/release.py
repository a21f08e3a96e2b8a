"""Build what a release consists of, twice, and prove that both times gave the same bytes.

python scripts/release.py            (make release)

It stops with a sentence when the tree is not clean, or when the version of setup.cfg has no
words in CHANGES.md. It uploads nothing and tags nothing; it says how.
"""

import configparser
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Stop(Exception):
    """Ends the program; its text is a sentence for the maintainer."""


def main() -> int:
    try:
        version = ready(ROOT)
        made = build_twice(ROOT)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return 1
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    for name, data in made.items():
        (dist / name).write_bytes(data)
    files = [str(dist / name) for name in made]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    print(f"\nBuilt twice from {_git(ROOT, 'rev-parse', 'HEAD').strip()}, byte for byte the same:")
    for name, data in made.items():
        print(f"  {hashlib.sha256(data).hexdigest()}  dist/{name}")
    print(
        f"\nNothing was uploaded and nothing was tagged. When all is well:\n"
        f"  git tag -s v{version} && git push origin v{version}\n"
        f"  {Path(sys.executable).name} -m twine upload {' '.join(f'dist/{n}' for n in made)}"
    )
    return 0


def ready(root: Path) -> str:
    """The version that is to be released.

    :raises Stop: something is missing.
    """
    if _git(root, "status", "--porcelain"):
        raise Stop("There are changes that are not committed. Commit them first.")
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    version = setup["metadata"]["version"]
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        raise Stop(f"The version of setup.cfg, {version}, is none to release. Write 1.2.3.")
    headings = re.findall(r"^## (.+)$", (root / "CHANGES.md").read_text(), re.M)
    if not headings or headings[0].split()[0] != version:
        first = headings[0] if headings else "nothing"
        raise Stop(
            f"CHANGES.md begins with {first!r}, setup.cfg says {version}."
            f" Write the heading '## {version} - 2027-01-31' over what is new."
        )
    tagged = _git(root, "tag", "--list", f"v{version}", "--points-at", "HEAD")
    if _git(root, "tag", "--list", f"v{version}") and not tagged:
        raise Stop(f"v{version} is the tag of another commit already. Raise the version.")
    return version


def build_twice(root: Path) -> dict[str, bytes]:
    """The archive and the wheel by name.

    :raises Stop: they differ from one time to the other.
    """
    epoch = int(_git(root, "log", "-1", "--format=%ct"))
    first, second = (_build(root, epoch) for _ in range(2))
    if differ := [name for name in first if first[name] != second.get(name)]:
        raise Stop(f"Built twice, these are not the same: {', '.join(differ)}.")
    return first


def _build(root: Path, epoch: int) -> dict[str, bytes]:
    # From what is committed and from nothing that lies about, in a folder of another name.
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        packed = subprocess.run(["git", "archive", "HEAD"], cwd=root, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(tree, filter="data")
        environ = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [sys.executable, "-m", "build", str(tree)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o022,
        )
        if done.returncode:
            raise Stop(f"It cannot be built:\n{done.stdout[-3000:]}")
        found = {path.name: path.read_bytes() for path in sorted((tree / "dist").iterdir())}
    return {
        name: settled(data, epoch) if name.endswith(".tar.gz") else data
        for name, data in found.items()
    }


def settled(archive: bytes, epoch: int) -> bytes:
    """A .tar.gz with the same files in order, of one moment and of nobody.

    setuptools heeds SOURCE_DATE_EPOCH in a wheel, but not in an archive.
    """
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(plain.getvalue(), mtime=epoch)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise Stop(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
