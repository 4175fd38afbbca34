"""Seeing to it that all ranks of a run were given the same things, before they wait for each other in vain."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import torch.distributed as dist

from hf_parallel.errors import RanksDisagreeError


def agree(what: str, value: str) -> None:
    """Every rank calls this with its `value`; the error is the same on all of them.

    Raises:
        RanksDisagreeError: some rank has another value than most; it names the ranks.
    """
    own = sha256(value.encode()).hexdigest()[:12]
    digests: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(digests, own)
    most, _ = Counter(digests).most_common(1)[0]
    if others := [rank for rank, digest in enumerate(digests) if digest != most]:
        raise RanksDisagreeError(
            f"ranks {', '.join(map(str, others[:8]))} of {len(digests)} have another {what} than the others",
            fix="start all ranks with the same arguments and files",
        )
