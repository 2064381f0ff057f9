"""Passwords and keys at rest: what must be compared is hashed, what must be sent again is sealed.

- An account's password (a customer binds with it): argon2id, verified through a small cache of HMACs.
- A carrier's password (we bind with it): AES-256-GCM under `secrets.key`, a file of mode 0600 beside the
  database and in no backup of it. A dump of `config.db` holds no password.
- An API key (128 bits or more of randomness, nothing to guess): SHA-256.
"""

import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from store.directory import Account
from store.files import StoreError, open_private

KEY_FILE = "secrets.key"
KEY_OCTETS = 32
NONCE_OCTETS = 12  # what AES-GCM is defined for; random, at most some thousand seals under one key
VERIFIED_MAX = 20_000  # remembered verifications: some 100 octets each

# OWASP's floor for argon2id: 19 MiB, two passes, one lane. 20 to 40 ms on the machine it was chosen on.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hash_password(password: str) -> str:
    """An argon2id hash with its own salt, in the usual `$argon2id$…` form. Some 30 ms of CPU."""
    return HASHER.hash(password)


def is_password_hash(text: str) -> bool:
    """Whether `text` is a hash that `PasswordVerifier` can verify."""
    try:
        HASHER.check_needs_rehash(text)
    except InvalidHashError:
        return False
    return text.startswith("$argon2id$")


def password_matches(password_hash: str, password: str | bytes) -> bool:
    """Compare once, slowly. An empty or foreign hash matches nothing."""
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password of 8 characters, the most that SMPP 3.4 lets a bind carry (about 47 bits)."""
    alphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no 0 O 1 l I
    return "".join(secrets.choice(alphabet) for _ in range(8))


def api_key_hash(key: str) -> bytes:
    """What is stored of an API key, and what it is looked up by."""
    return hashlib.sha256(key.encode()).digest()


class Sealer:
    """Seals short texts under the key file of a data directory."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def open(cls, data: Path) -> "Sealer":
        """The sealer of a data directory; makes the key on first use.

        Raises StoreError when the key file is damaged or readable by others.
        """
        path = data / KEY_FILE
        try:
            with open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(secrets.token_bytes(KEY_OCTETS).hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise StoreError(f"{path} may be read by others (mode {mode:o}). Run: chmod 600 {path}")
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_OCTETS:
            raise StoreError(
                f"{path} does not hold a key of {KEY_OCTETS} octets in hex. Put the right one back."
            )
        return cls(key)

    def seal(self, text: str, context: str) -> bytes:
        """`text`, sealed; `context` (whose secret it is) must be the same to unseal it."""
        nonce = secrets.token_bytes(NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, text.encode(), context.encode())

    def unseal(self, sealed: bytes, context: str) -> str:
        """The text again. Raises StoreError when key or context are others than at sealing."""
        try:
            text = self._cipher.decrypt(sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:], context.encode())
        except InvalidTag:
            raise StoreError(
                f"The secret of {context} was sealed with another {KEY_FILE}."
                " Put the key file of this data directory back, or apply that password again."
            ) from None
        return text.decode()


class PasswordVerifier:
    """Verifies the passwords of binds: argon2id the first time, an HMAC look-up after that.

    `verify` costs some 30 ms of CPU when it has not seen this account, hash and password together: call it
    in a worker thread. `recall` never costs more than microseconds: call it first, on the event loop.
    The cache holds HMACs under a key that lives and dies with the process, of right and wrong passwords
    alike, so neither a bind storm nor a client stuck on a wrong password costs CPU again.
    """

    def __init__(self, *, verified_max: int = VERIFIED_MAX) -> None:
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, bool] = OrderedDict()
        self._verified_max = verified_max
        self._lock = Lock()
        self._decoy = ""

    def recall(self, account: Account, password: str | bytes) -> bool | None:
        """The answer if it is known already, else None."""
        tag = self._tag(account, password)
        with self._lock:
            answer = self._seen.get(tag)
            if answer is not None:
                self._seen.move_to_end(tag)
            return answer

    def verify(self, account: Account | None, password: str | bytes) -> bool:
        """Whether the password is the account's. None, an unknown system_id, takes as long as a wrong one."""
        if account is None or not account.password_hash:
            password_matches(self._decoy_hash(), password)
            return False
        answer = self.recall(account, password)
        if answer is None:
            answer = password_matches(account.password_hash, password)
            with self._lock:
                self._seen[self._tag(account, password)] = answer
                while len(self._seen) > self._verified_max:
                    self._seen.popitem(last=False)
        return answer

    def _tag(self, account: Account, password: str | bytes) -> bytes:
        octets = password.encode() if isinstance(password, str) else password
        mac = hmac.new(self._key, account.password_hash.encode(), hashlib.sha256)
        mac.update(account.id.to_bytes(8, "big") + octets)
        return mac.digest()

    def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = hash_password(secrets.token_hex(16))
        return self._decoy
