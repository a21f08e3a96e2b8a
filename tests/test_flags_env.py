"""flags.env tells the truth: every setting, its real default, and a form that all readers share."""

import re
import subprocess
from pathlib import Path

from apiary import VARIABLES
from apiary.host.environment import parse
from apiary.host.settings import HOST_VARIABLES, HostSettings

FLAGS = Path(__file__).resolve().parent.parent / "flags.env"
EXPECTED = {v.name: v.default for v in (*VARIABLES, *HOST_VARIABLES)}


def test_it_lists_every_setting_with_its_default():
    assert parse(FLAGS.read_text()) == EXPECTED


def test_it_changes_nothing_as_it_stands(tmp_path):
    with_file = HostSettings.from_mapping(parse(FLAGS.read_text()), Path("instance").absolute())
    without = HostSettings.from_mapping({}, Path("instance").absolute())
    assert with_file == without


def test_each_setting_has_a_comment():
    text = FLAGS.read_text()
    for name in EXPECTED:
        assert re.search(rf"^# .+\n{name}=", text, re.MULTILINE), name


def test_each_line_reads_the_same_everywhere():
    for line in FLAGS.read_text().splitlines():
        assert re.fullmatch(r"|#.*|[A-Z_]+=[^\s'\"$`\\#;&|<>()]*", line), line


def test_a_shell_reads_the_same():
    told = subprocess.run(
        ["sh", "-c", 'set -a; . "$0"; exec env', str(FLAGS)],
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(line.split("=", 1) for line in told.splitlines())
    assert {name: found[name] for name in EXPECTED} == EXPECTED
