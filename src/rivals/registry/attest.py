"""What is said of a bundle, signed: an in-toto statement in a DSSE envelope, and a bill of materials beside it.

Sources: in-toto Attestation Framework v1 (Statement), DSSE v1 (envelope, pre-authentication encoding), CycloneDX 1.6,
Ed25519 (RFC 8032) by ``cryptography``. A key is named by the SHA-256 of its public part.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from rivals.errors import BundleError, Refused, RivalsError

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:rivals:release:1"
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)")


class _Signature(msgspec.Struct, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    payload: str
    payloadType: str  # noqa: N815 -- as DSSE writes it
    signatures: tuple[_Signature, ...] = ()


class Subject(msgspec.Struct, frozen=True):
    """A file or a bundle, by its SHA-256."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True):
    """What a signature vouches for: subjects, and what is said of them."""

    subject: tuple[Subject, ...]
    predicate: dict[str, Any]
    predicateType: str = PREDICATE  # noqa: N815 -- as in-toto writes it
    kind: str = msgspec.field(default=STATEMENT, name="_type")

    def digest(self, name: str) -> str:
        """The SHA-256 of one subject; empty where there is none of that name."""
        return next((one.digest.get("sha256", "") for one in self.subject if one.name == name), "")


def statement(subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> Statement:
    """Say ``predicate`` of the subjects, each a name and a SHA-256."""
    return Statement(tuple(Subject(name, {"sha256": sha}) for name, sha in subjects.items()), dict(predicate))


def sign(said: Statement, key: Path) -> bytes:
    """A DSSE envelope around the statement, by the Ed25519 key in a PEM file. Raises ``RivalsError``."""
    private = _read(key, "private", lambda raw: load_pem_private_key(raw, None), Ed25519PrivateKey)
    payload = msgspec.json.encode(said, order="deterministic")
    signature = _Signature(base64.b64encode(private.sign(_pae(payload))).decode(), key_id(private.public_key()))
    return msgspec.json.encode(_Envelope(base64.b64encode(payload).decode(), PAYLOAD, (signature,)))


def checked(raw: bytes, keys: Sequence[Ed25519PublicKey]) -> Statement:
    """The statement in an envelope that one of ``keys`` signed. Raises ``Refused`` where none did."""
    try:
        envelope = msgspec.json.decode(raw, type=_Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [base64.b64decode(one.sig, validate=True) for one in envelope.signatures]
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused(f"its evidence cannot be read ({error})") from error
    if not signatures:
        raise Refused("its evidence carries no signature")
    if envelope.payloadType != PAYLOAD or not any(_by(key, one, payload) for key in keys for one in signatures):
        raise Refused("no trusted key signed its evidence as it is now: it was changed, or another key signed it")
    try:
        said = msgspec.json.decode(payload, type=Statement)
    except msgspec.MsgspecError as error:
        raise Refused(f"its evidence says something else than a release ({error})") from error
    if (said.kind, said.predicateType) != (STATEMENT, PREDICATE):
        raise Refused(f"its evidence is a {said.predicateType}, not a {PREDICATE}")
    return said


def public_key(file: Path) -> Ed25519PublicKey:
    """The Ed25519 key in a PEM file. Raises ``RivalsError``."""
    found: Ed25519PublicKey = _read(file, "public", load_pem_public_key, Ed25519PublicKey)
    return found


def key_id(key: Ed25519PublicKey) -> str:
    """What a key is called."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def sbom(name: str, version: str, digest: str, bundle: Path) -> bytes:
    """CycloneDX 1.6 of a bundle: the packages its own ``requirements.txt`` pins; what those need is not listed.

    The document says so (``compositions``). Raises ``BundleError`` for a line that pins nothing.
    """
    root, parts = f"bundle:{digest}", []
    for line in (bundle / "requirements.txt").read_text().split("\n"):
        if not line.strip():
            continue
        if not (found := PIN.fullmatch(line.strip())):
            raise BundleError(f"Bundle {digest[:12]}: requirements.txt has {line!r}, which pins no version.")
        package = re.sub(r"[-_.]+", "-", found[1]).lower()
        purl = f"pkg:pypi/{package}@{found[2].replace('+', '%2B')}"
        parts.append({"type": "library", "bom-ref": purl, "name": package, "version": found[2], "purl": purl})
    model = {"type": "machine-learning-model", "bom-ref": root, "name": name, "version": version}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**model, "hashes": [{"alg": "SHA-256", "content": digest}]}},
        "components": parts,
        "dependencies": [{"ref": root, "dependsOn": [part["bom-ref"] for part in parts]}],
        "compositions": [{"aggregate": "incomplete", "dependencies": [part["bom-ref"] for part in parts]}],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _pae(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _by(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, _pae(payload))
    except InvalidSignature:
        return False
    return True


def _read(file: Path, kind: str, load: Any, wanted: type[Any]) -> Any:
    try:
        found = load(file.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RivalsError(f"{file} holds no {kind} key in PEM: {error}.") from error
    if not isinstance(found, wanted):
        raise RivalsError(f"{file} holds another {kind} key than Ed25519: `openssl genpkey -algorithm ed25519`.")
    return found
