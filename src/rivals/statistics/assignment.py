"""Which variant a unit meets: a salted hash puts it into one of 10,000 slots, and each slot belongs to an arm.

The hash never changes under one salt; only the owners of slots do. So a unit meets the same arm in every process, and
re-weighting moves no more units than it must. (Tang, Agarwal, O'Brien & Meyer, "Overlapping Experiment
Infrastructure", KDD 2010, for salted slots; the largest remainder is Hamilton's method.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from rivals.errors import RivalsError
from rivals.values import SLOTS

MOST_ARMS = 255  # a slot is a byte


def slot(salt: str, unit: str) -> int:
    """Slot of a unit, 0 to 9,999. ``salt`` has at most 64 bytes."""
    return int.from_bytes(blake2b(unit.encode(), digest_size=8, key=salt.encode()).digest()) % SLOTS


def slots(weights: Sequence[float]) -> bytes:
    """Owners of the 10,000 slots for a first table: arm i has a share of ``weights[i]``. Raises ``RivalsError``."""
    return b"".join(bytes([arm]) * count for arm, count in enumerate(counts(weights)))


def reweight(old: bytes, arms_old: Sequence[str], arms_new: Sequence[str], weights: Sequence[float]) -> bytes:
    """Owners of the slots under new weights; no slot changes hands that need not.

    ``old`` holds indices into ``arms_old``, the answer holds indices into ``arms_new``. Raises ``RivalsError``.
    """
    if len(arms_new) != len(weights) or len(set(arms_new)) != len(arms_new):
        raise RivalsError(f"{len(arms_new)} arms with {len(weights)} weights: each arm is named once, with one weight.")
    room = counts(weights)
    place = {name: index for index, name in enumerate(arms_new)}
    heirs = [place.get(name) for name in arms_old]
    new, free = bytearray(len(old)), []
    for number, owner in enumerate(old):
        heir = heirs[owner]
        if heir is not None and room[heir]:
            room[heir] -= 1
            new[number] = heir
        else:
            free.append(number)
    takers = (arm for arm, count in enumerate(room) for _ in range(count))
    for number, taker in zip(free, takers, strict=True):
        new[number] = taker
    return bytes(new)


def counts(weights: Sequence[float]) -> list[int]:
    """Slots of each arm, 10,000 in all, within one of its exact share. Raises ``RivalsError``."""
    total = math.fsum(weights)
    if not 1 <= len(weights) <= MOST_ARMS or not (math.isfinite(total) and total > 0) or min(weights) < 0:
        raise RivalsError(f"Weights {list(weights)} are not shares: 1 to {MOST_ARMS} numbers from 0 up, not all 0.")
    exact = [weight / total * SLOTS for weight in weights]
    whole = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda arm: (whole[arm] - exact[arm], arm))
    for arm in by_remainder[: SLOTS - sum(whole)]:
        whole[arm] += 1
    return whole
