"""AES-256-GCM and the key ring."""

import base64
import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.crypto import (
    KeyRing,
    Sealed,
    Unreadable,
    associated_data,
    decrypt,
    encrypt,
    generated_secret,
    new_key,
)
from apiary.errors import ConfigError

CORPUS = json.loads((Path(__file__).parent / "corpora" / "aes_gcm.json").read_text())
CONTEXT = ("connection", "owner", "openrouter", "https://openrouter.ai")


def ring(*names: str) -> KeyRing:
    return KeyRing.parse(",".join(new_key(name) for name in names))


@pytest.mark.parametrize("vector", CORPUS["ours"], ids=lambda v: v["name"])
def test_published_vectors_of_our_sizes(vector: dict[str, str]) -> None:
    key, iv, aad, plain, box = (
        bytes.fromhex(vector[name]) for name in ("key", "iv", "aad", "msg", "box")
    )
    if vector["result"] == "valid":
        assert encrypt(key, iv, plain, aad) == box
        assert decrypt(key, iv, box, aad) == plain
    else:
        with pytest.raises(Unreadable):
            decrypt(key, iv, box, aad)


@pytest.mark.parametrize("vector", CORPUS["others"], ids=lambda v: v["name"])
def test_published_vectors_of_other_sizes_are_refused(vector: dict[str, str]) -> None:
    key, iv, aad, plain, box = (
        bytes.fromhex(vector[name]) for name in ("key", "iv", "aad", "msg", "box")
    )
    with pytest.raises(ValueError, match=r"bytes|empty"):
        encrypt(key, iv, plain, aad)
    with pytest.raises(ValueError, match=r"bytes|empty"):
        decrypt(key, iv, box, aad)


@given(st.binary(max_size=4096), st.lists(st.text(), min_size=1, max_size=5))
def test_what_was_sealed_opens(plain: bytes, context: list[str]) -> None:
    keys = ring("k1")
    assert keys.open(keys.seal(plain, *context), *context) == plain


@given(st.data())
def test_any_changed_byte_is_unreadable(data: st.DataObject) -> None:
    keys = ring("k1")
    sealed = keys.seal(b"sk-or-v1-secret", *CONTEXT)
    field = data.draw(st.sampled_from(["iv", "box"]))
    value = bytearray(getattr(sealed, field))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    changed = {"kid": sealed.kid, "iv": sealed.iv, "box": sealed.box} | {field: bytes(value)}
    with pytest.raises(Unreadable):
        keys.open(Sealed(**changed), *CONTEXT)


@pytest.mark.parametrize("part", range(4))
def test_another_owner_provider_or_origin_is_unreadable(part: int) -> None:
    keys = ring("k1")
    sealed = keys.seal(b"key", *CONTEXT)
    other = [*CONTEXT]
    other[part] += "x"
    with pytest.raises(Unreadable):
        keys.open(sealed, *other)


def test_a_key_id_is_bound_too() -> None:
    key = new_key("k1").partition(":")[2]
    sealed = KeyRing.parse(f"k1:{key}").seal(b"key", *CONTEXT)
    renamed = KeyRing.parse(f"k2:{key}")
    with pytest.raises(Unreadable):
        renamed.open(Sealed(renamed.kids[0], sealed.iv, sealed.box), *CONTEXT)


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_no_two_contexts_look_alike(one: list[str], other: list[str]) -> None:
    assert (associated_data(*one) == associated_data(*other)) == (one == other)


@pytest.mark.parametrize("length", range(17))
def test_a_cut_tag_is_unreadable(length: int) -> None:
    keys = ring("k1")
    sealed = keys.seal(b"", *CONTEXT)
    assert len(sealed.box) == 16
    if length < 16:
        with pytest.raises(Unreadable):
            keys.open(Sealed(sealed.kid, sealed.iv, sealed.box[:length]), *CONTEXT)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old = new_key("k1")
    sealed = KeyRing.parse(old).seal(b"key", *CONTEXT)
    both = KeyRing.parse(f"{new_key('k2')},{old}")
    assert both.open(sealed, *CONTEXT) == b"key"
    assert both.seal(b"key", *CONTEXT).kid.startswith("k2.")


def test_other_bytes_under_an_old_name_are_another_key() -> None:
    first, second = ring("k1"), ring("k1")
    sealed = first.seal(b"key", *CONTEXT)
    assert sealed.kid not in second
    with pytest.raises(Unreadable):
        second.open(sealed, *CONTEXT)


def test_a_ring_that_was_found_again_stands_beside_the_one_made_in_its_place() -> None:
    old, new = new_key("k1"), new_key("k1")
    sealed = [KeyRing.parse(key).seal(b"key", *CONTEXT) for key in (old, new)]
    both = KeyRing.parse(f"{new},{old}")
    assert [both.open(record, *CONTEXT) for record in sealed] == [b"key", b"key"]
    assert both.kids == [sealed[1].kid, sealed[0].kid]
    assert both.find("k1") is None and both.find(sealed[0].kid) == sealed[0].kid


def test_every_seal_has_its_own_iv() -> None:
    keys = ring("k1")
    ivs = {keys.seal(b"key", *CONTEXT).iv for _ in range(10_000)}
    assert len(ivs) == 10_000
    assert {len(iv) for iv in ivs} == {12}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no name"),
        ("k1", "no name"),
        (":{a}", "no name"),
        ("k 1:{a}", "no name"),
        ("k1:", "not 32 bytes"),
        ("k1:{short}", "not 32 bytes"),
        ("k1:{long}", "not 32 bytes"),
        ("k1:{hex}", "not 32 bytes"),
        ("k1:!!!", "not 32 bytes"),
        ("k1:" + b64(b"a" * 32), "not random"),
        ("k1:" + b64(b"passwordpasswordpasswordpassword"), "not random"),
        ("k1:{a},k2:{b},k1:{a}", "twice"),
        ("k1:{a},k2:{a}", "twice"),
    ],
)
def test_a_broken_key_ring_is_refused_without_telling_it(text: str, words: str) -> None:
    text = text.format(
        a=b64(os.urandom(32)),
        b=b64(os.urandom(32)),
        short=b64(os.urandom(31)),
        long=b64(os.urandom(33)),
        hex=os.urandom(32).hex(),
    )
    with pytest.raises(ConfigError, match=words) as caught:
        KeyRing.parse(text)
    for item in text.split(","):
        secret = item.partition(":")[2]
        assert len(secret) < 8 or secret not in str(caught.value)


def test_a_ring_does_not_show_its_keys() -> None:
    text = new_key("k1")
    assert text.partition(":")[2] not in repr(KeyRing.parse(text))


def test_a_generated_secret_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    first = generated_secret(path, lambda: "one")
    assert (first, generated_secret(path, lambda: "two")) == ("one", "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


def test_many_that_start_at_once_agree_on_a_secret(tmp_path: Path) -> None:
    path, found = tmp_path / "secret", []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(generated_secret(path, lambda: f"secret {n}"))
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20 and len(set(found)) == 1


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("open to all")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        generated_secret(path, lambda: "x")
