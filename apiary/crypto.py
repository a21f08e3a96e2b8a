"""AES-256-GCM and the key ring: bytes in, bytes out.

The library underneath accepts other key, nonce and tag sizes and an empty associated data
(checked with cryptography 50); what is not exactly our format is refused here.
"""

import base64
import binascii
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import ConfigError
from .secret import private_folder

KEY_BYTES, IV_BYTES, TAG_BYTES = 32, 12, 16
#: The first part of all associated data; grows when the format of a record changes.
FORMAT = b"apiary.v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class Unreadable(Exception):
    """A record cannot be opened. It never says why: an attacker could ask it questions."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One encrypted record: the id of the key, the 12-byte IV, ciphertext with its tag."""

    kid: str
    iv: bytes
    box: bytes


def encrypt(key: bytes, iv: bytes, plain: bytes, associated: bytes) -> bytes:
    """Ciphertext followed by the 16-byte tag.

    :raises ValueError: for a key, IV or associated data of a size that is not ours.
    """
    _check(key, iv, associated)
    return AESGCM(key).encrypt(iv, plain, associated)


def decrypt(key: bytes, iv: bytes, box: bytes, associated: bytes) -> bytes:
    """What was encrypted.

    :raises ValueError: for sizes that are not ours.
    :raises Unreadable: key, IV, box and associated data do not belong together.
    """
    _check(key, iv, associated)
    if len(box) < TAG_BYTES:
        raise ValueError(f"the box is {len(box)} bytes; a tag alone is {TAG_BYTES}")
    try:
        return AESGCM(key).decrypt(iv, box, associated)
    except InvalidTag:
        raise Unreadable from None


def _check(key: bytes, iv: bytes, associated: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key is {len(key)} bytes; AES-256 takes {KEY_BYTES}")
    if len(iv) != IV_BYTES:
        raise ValueError(f"the IV is {len(iv)} bytes; it must be {IV_BYTES}")
    if not associated:
        raise ValueError("the associated data must not be empty")


def associated_data(*parts: str) -> bytes:
    """The parts with their lengths before them, so that no two lists look alike."""
    encoded = [FORMAT, *(part.encode() for part in parts)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


class KeyRing:
    """Keys by id; the first one encrypts, all decrypt.

    The id of a key is the operator's name for it and a fingerprint of its bytes, such as
    ``k1.9f3c21ab``. So other bytes under an old name are another key: what the old one
    sealed is reported as unreadable, and comes back when the right bytes do. Both may stand in
    one ring: a lost ring that was found again has the names of the one made in its place.
    """

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        self._keys = {f"{name}.{_fingerprint(key)}": key for name, key in keys}
        if not self._keys:
            raise ConfigError("APIARY_ENCRYPTION_KEYS holds no key.")

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read ``name:base64url,name:base64url``; each key is 32 random bytes.

        :raises ConfigError: names the key by its position and name, never by its bytes.
        """
        keys: list[tuple[str, bytes]] = []
        for number, item in enumerate(text.split(","), start=1):
            name, separator, encoded = item.strip().partition(":")
            if not separator or not _NAME.fullmatch(name):
                raise ConfigError(
                    f"Key {number} of APIARY_ENCRYPTION_KEYS has no name. Write name:key, the name"
                    " in letters, digits, - and _. `flask apiary keys add` makes one."
                )
            key = _decode(name, encoded)
            if any(key == other for _, other in keys):
                raise ConfigError(
                    f"APIARY_ENCRYPTION_KEYS holds the key {name!r} twice. Each key stands there"
                    " once."
                )
            keys.append((name, key))
        return cls(keys)

    @property
    def kids(self) -> list[str]:
        """Ids of all keys, the encrypting one first."""
        return list(self._keys)

    def seal(self, plain: bytes, *context: str) -> Sealed:
        """Encrypt with the first key and a fresh random IV, bound to the context and the key id."""
        kid, key = next(iter(self._keys.items()))
        iv = os.urandom(IV_BYTES)
        return Sealed(kid, iv, encrypt(key, iv, plain, associated_data(*context, kid)))

    def open(self, sealed: Sealed, *context: str) -> bytes:
        """Decrypt.

        :raises Unreadable: for an unknown key, another context or any changed bit.
        """
        key = self._keys.get(sealed.kid)
        if key is None or len(sealed.iv) != IV_BYTES or len(sealed.box) < TAG_BYTES:
            raise Unreadable
        return decrypt(key, sealed.iv, sealed.box, associated_data(*context, sealed.kid))

    def renew(self, sealed: Sealed, *context: str) -> Sealed:
        """The same record under the first key; what it holds is not handed out.

        :raises Unreadable: as :meth:`open`.
        """
        return self.seal(self.open(sealed, *context), *context)

    def find(self, word: str) -> str | None:
        """The id of the key that the operator means, by its id, or by a name that only one has."""
        named = [kid for kid in self._keys if kid.rpartition(".")[0] == word]
        if word in self._keys:
            return word
        return named[0] if len(named) == 1 else None

    def __contains__(self, kid: object) -> bool:
        return kid in self._keys

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"


def new_key(name: str) -> str:
    """A fresh entry for the key ring, as text.

    :raises ConfigError: that is no name for a key.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a key. Take up to 32 letters, digits, - and _, such as k2."
        )
    key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")
    return f"{name}:{key}"


def generated_secret(path: Path, make: Callable[[], str]) -> str:
    """The text in a file of mode 0600, which is made first if it is not there.

    Several processes may start at once: the first file stands, the others read it.

    :raises ConfigError: the file cannot be read or written, or others may read it.
    """
    try:
        private_folder(path.parent)
        if not path.exists():
            # Written aside and linked into place: nobody ever reads half a file.
            aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(make() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, path)
            except FileExistsError:
                pass
            finally:
                aside.unlink()
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} can be read by other users. Run: chmod 600 {path}")
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be used: {error.strerror}.") from None
    if not text:
        raise ConfigError(f"{path} is empty. Restore it from your backup, or delete it.")
    return text


def change_secret(path: Path, change: Callable[[str], str]) -> None:
    """Put another text into a file of mode 0600; who reads it meanwhile sees the old or the new.

    Its owner stays the same, so that an administrator may do it for the app's account.

    :param change: makes the new text from the old one; nobody else changes it meanwhile.
    :raises ConfigError: the file cannot be read or written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with _alone(path.parent):
            before = path.stat()
            text = change(path.read_text().strip())
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            made = aside.stat()
            if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
                os.chown(aside, before.st_uid, before.st_gid)
            aside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be changed: {error.strerror}.") from None
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"apiary key id" + key).hexdigest()[:8]


def _decode(name: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(
            encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"The key {name!r} of APIARY_ENCRYPTION_KEYS is not 32 bytes in base64url."
            " `flask apiary keys add` makes one."
        )
    # 32 random bytes hold some 30 different ones; a key typed by hand or filled up does not.
    if len(set(key)) < 16:
        raise ConfigError(
            f"The key {name!r} of APIARY_ENCRYPTION_KEYS is not random."
            " `flask apiary keys add` makes one."
        )
    return key
