"""`Step`: what every layer of one forward call shares: positions, masks, memory, and what is being recorded.

B batch, T new tokens, S keys. A step is made once per call by `begin` and handed to every layer. Rotary tables,
masks and biases are worked out at most once per step, however many layers ask.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast, final

import torch
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.masks import CAUSAL, OPEN, Mask, Rows, segment_starts, segments, window_of
from hf_modeling.spec import Bidirectional, Causal, Chunk, MaskRule, Window

if TYPE_CHECKING:
    from hf_modeling.cache import Cache
    from hf_modeling.layers.rope import Rotary
    from hf_modeling.source import Source

T = TypeVar("T")


@final
@dataclass(slots=True, kw_only=True, eq=False)
class Step:
    """One call's shared context. Made by `begin`; layers read it and record into its lists.

    past: tokens the cache held before.
    bound: a number above every position; None where only a look at the positions would tell.
    offset: when all rows' positions are offset, offset + 1, ...: that first one; otherwise None.
    valid_BS: which of the old and new tokens are real; None when all are.
    new_valid_BT: which of the new tokens are real; None when all are.
    next_position_B1: what each row's next position will be; None when it is past + new for every row.
    source: what is read of an encoder; None where there is none.
    attentions, cross_attentions, hidden_states, router_logits: lists to append to, or None when not asked for.
    more: inputs that only some families read, by name.
    relative: what the stack knows about distances, for all its layers.
    rotations: rotary tables at this step's positions.
    shared: keys and values that later layers of this call borrow, by layer.
    chosen: who may look at whom by the latest index, (B, 1, T, S) bool; None where all may.
    segments_BT: which packed sequence each token belongs to; None when each row is one.
    blocks_BT: which new tokens see each other in both directions, by number; -1 for the others.
    custom: a mask that replaces every rule.
    per_layer_BTLP: the tokens' own inputs to each layer, for models that have them.
    """

    batch: int
    new: int
    device: torch.device
    cache: Cache | None = None
    past: int = 0
    capacity: int | None = None
    bound: int | None = 0
    offset: int | None = 0
    valid_BS: Tensor | None = None
    new_valid_BT: Tensor | None = None
    next_position_B1: Tensor | None = None
    segments_BT: Tensor | None = None
    blocks_BT: Tensor | None = None
    custom: Mask | None = None
    source: Source | None = None
    attentions: list[Tensor] | None = None
    cross_attentions: list[Tensor] | None = None
    hidden_states: list[Tensor] | None = None
    router_logits: list[Tensor] | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)
    relative: Tensor | None = None
    rotations: dict[Rotary, tuple[Tensor, Tensor]] = field(default_factory=dict)
    shared: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    chosen: Tensor | None = None
    per_layer_BTLP: Tensor | None = None
    _positions: Tensor | None = None
    _memo: dict[Hashable, object] = field(default_factory=dict)

    @property
    def positions_BT(self) -> Tensor:
        """Positions of the new tokens, (B or 1, T) int64; what padding has is of no consequence to others."""
        if self._positions is None:
            self._positions = torch.arange(self.past, self.past + self.new, device=self.device)[None]
        return self._positions

    def longest(self) -> int:
        """The longest new position plus one."""
        return self.offset + self.new if self.offset is not None else int(self.positions_BT.max()) + 1

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made when the first layer of this step asks under `key`."""
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = make()
        return cast("T", found)

    def forget(self) -> None:
        """Let what was made once be made again: the step is somewhere else now."""
        self._memo.clear()

    def mask(self, rule: MaskRule) -> Mask:
        """Who may look at whom in a layer with this rule."""
        found = self._memo.get(rule)
        if found is not None:
            return cast("Mask", found)
        plain = self.valid_BS is None and self.segments_BT is None and self.blocks_BT is None
        within = isinstance(rule, Window | Chunk) and self.past + self.new <= rule.size
        if self.custom is not None:
            made = self.custom
        elif not plain or self.capacity is not None:
            made = Mask(rule=rule, rows=self._rows(rule))
        # Nothing but the rule hides anything, which can often be said without a tensor.
        elif isinstance(rule, Bidirectional):
            made = OPEN
        elif (within or isinstance(rule, Causal)) and (self.new == 1 or self.past == 0):
            made = OPEN if self.new == 1 else CAUSAL
        elif isinstance(rule, Window) and self.new == 1 and self._key_order(rule).shape[1] <= rule.size:
            made = OPEN
        else:
            made = Mask(rule=rule, rows=self._rows(rule))
        self._memo[rule] = made
        return made

    def distances(self, rule: MaskRule) -> Tensor:
        """How far ahead of each query each key is, (B or 1, T, S) int64, padding counted; for biases by distance."""
        return self._key_order(rule)[:, None, :] - self._query_order()[:, :, None]

    def key_positions(self, rule: MaskRule) -> Tensor:
        """Positions of the keys that a layer with this rule sees, (B or 1, S) int64; for biases by distance."""
        order_BS = self._key_order(rule)
        if self.valid_BS is None:
            return order_BS
        position_BS = (self.valid_BS.cumsum(1) - 1).clamp(min=0)
        return position_BS.gather(1, order_BS.clamp(min=0).expand(self.batch, -1))

    def _rows(self, rule: MaskRule) -> Rows:
        query_order_BT = self._query_order()
        key_order_BS = self._key_order(rule)
        key_valid_BS = None
        if self.valid_BS is not None:
            index_BS = key_order_BS.clamp(min=0).expand(self.batch, -1)
            key_valid_BS = self.valid_BS.gather(1, index_BS)
        if self.capacity is not None:
            written_BS = key_order_BS >= 0
            key_valid_BS = written_BS if key_valid_BS is None else key_valid_BS & written_BS
        starts_BT = self._starts()
        return Rows(
            query_order_BT=query_order_BT,
            key_order_BS=key_order_BS,
            key_valid_BS=key_valid_BS,
            query_segment_BT=self.segments_BT,
            key_segment_BS=self.segments_BT,
            query_block_BT=self.blocks_BT,
            key_block_BS=self._key_blocks(key_order_BS),
            query_start_BT=starts_BT,
            key_start_BS=starts_BT,
        )

    def _query_order(self) -> Tensor:
        if self.cache is None:
            return torch.arange(self.new, device=self.device)[None]
        return _rows_first(self.cache.query_order(self.new, self.device))

    def _key_order(self, rule: MaskRule) -> Tensor:
        if self.cache is None:
            return torch.arange(self.new, device=self.device)[None]
        return _rows_first(self.cache.key_order(window_of(rule), self.new, self.device))

    def _key_blocks(self, key_order_BS: Tensor) -> Tensor | None:
        if self.blocks_BT is None:
            return None
        blocks_BS = torch.nn.functional.pad(self.blocks_BT, (self.past, 0), value=-1)
        return blocks_BS.gather(1, key_order_BS.clamp(min=0).expand(self.batch, -1))

    def _starts(self) -> Tensor | None:
        """Order of the first real token: of its segment for each token (B, T), or of the row (B, 1)."""
        if self.segments_BT is not None:
            return segment_starts(self.segments_BT)
        return None if self.valid_BS is None else self.valid_BS.int().argmax(1, keepdim=True)


def begin(
    *,
    batch: int,
    new: int,
    device: torch.device,
    cache: Cache | None = None,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    blocks: Tensor | None = None,
) -> Step:
    """A step for `new` tokens of `batch` rows.

    attention_mask: (B, T) or (B, old + T), 1 for real tokens; padding may be anywhere. Or (B or 1, N or 1,
        T, S): who may look at whom, as bool or as a number added to scores, which replaces every rule.
    position_ids: (B or 1, T); without them positions count each row's real tokens, so that left and right
        padding give the same result. Without a mask, positions that start over mark packed sequences, which
        do not see each other.
    blocks: (B, T) integers; tokens of one number see each other in both directions (a prefix, an image), -1
        marks tokens that belong to none.

    Raises:
        InputError: shapes that do not fit together.
    """
    step = Step(batch=batch, new=new, device=device, cache=cache, bound=new, blocks_BT=blocks)
    known_BS = before_B1 = None
    if cache is not None:
        step.past = step.offset = cache.length
        step.capacity, known_BS, before_B1 = cache.capacity, cache.valid_BS, cache.next_position_B1
        if known_BS is not None and known_BS.device != device:  # the last layers may run elsewhere
            known_BS, before_B1 = known_BS.to(device), None if before_B1 is None else before_B1.to(device)
        step.bound = step.past + new if step.capacity is None else step.capacity
    if attention_mask is not None and attention_mask.ndim == 4:
        step.custom, attention_mask = Mask(_checked_mask(step, attention_mask)), None
    if attention_mask is not None or known_BS is not None:
        _take_validity(step, attention_mask, known_BS)
    if position_ids is not None:
        step._positions = _checked_positions(step, position_ids)
        step.bound = step.capacity
        if attention_mask is None and step.past == 0 and new > 1:
            step.segments_BT = segments(step._positions)
    elif step.valid_BS is not None or before_B1 is not None:
        step._positions = _counted_positions(step, before_B1)
    if step._positions is not None:
        step.offset = None
        step.next_position_B1 = _next_positions(step, step.past if before_B1 is None else before_B1)
    return step


def _take_validity(step: Step, attention_mask: Tensor | None, known_BS: Tensor | None) -> None:
    """Set which old and new tokens are real from the mask and from what the cache knows."""
    past, new, total = step.past, step.new, step.past + step.new
    if attention_mask is None:
        assert known_BS is not None
        growing = step.capacity is None
        step.valid_BS = torch.nn.functional.pad(known_BS, (0, new), value=True) if growing else known_BS
        return
    if attention_mask.shape == (step.batch, total):
        valid_BS = attention_mask.bool()
    elif attention_mask.shape == (step.batch, new):
        if known_BS is None:
            known_BS = torch.ones(step.batch, past, dtype=torch.bool, device=step.device)
        valid_BS = torch.cat((known_BS[:, :past], attention_mask.bool()), dim=1)
    else:
        raise InputError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, expected ({step.batch}, {total}) or "
            f"({step.batch}, {new}): {step.batch} rows of {past} remembered and {new} new tokens",
            fix="give 1 for each real token and 0 for each padding token, one row per input row",
        )
    if bool(valid_BS.all()):
        return
    step.new_valid_BT = valid_BS[:, past:]
    if step.capacity is not None:
        valid_BS = torch.nn.functional.pad(valid_BS, (0, step.capacity - total), value=True)
    step.valid_BS = valid_BS


def _counted_positions(step: Step, before_B1: Tensor | None) -> Tensor:
    """Positions that continue each row's count of real tokens, (B, T)."""
    if before_B1 is None:
        assert step.valid_BS is not None
        before_B1 = step.valid_BS[:, : step.past].sum(1, keepdim=True)
    order_T = torch.arange(step.new, device=step.device)
    new_valid_BT = step.new_valid_BT
    if new_valid_BT is None:
        return before_B1 + order_T
    # Padding gets the position it would have if it were real, which is what heads that read it were trained on.
    first_B1 = new_valid_BT.int().argmax(1, keepdim=True)
    counted_BT = torch.where(new_valid_BT, new_valid_BT.cumsum(1) - 1, order_T - first_B1)
    return (before_B1 + counted_BT).clamp(min=0)


def _next_positions(step: Step, before: Tensor | int) -> Tensor:
    """Each row's next position, (B, 1); as before where a row got nothing but padding."""
    given_BT = step.positions_BT.expand(step.batch, -1)
    if step.new_valid_BT is None:
        return given_BT.amax(1, keepdim=True) + 1
    last_B1 = given_BT.masked_fill(~step.new_valid_BT, -1).amax(1, keepdim=True)
    return torch.where(last_B1 < 0, before, last_B1 + 1)


def _checked_mask(step: Step, mask_BNTS: Tensor) -> Tensor:
    if mask_BNTS.dtype is not torch.bool and not mask_BNTS.is_floating_point():
        raise InputError(
            f"attention_mask of four axes has elements of {mask_BNTS.dtype}",
            fix="give bool (True: may look), or numbers in floating point to add to scores",
        )
    if mask_BNTS.shape[0] not in (1, step.batch) or mask_BNTS.shape[2] != step.new:
        raise InputError(
            f"attention_mask has shape {tuple(mask_BNTS.shape)} for {step.batch} rows of {step.new} new tokens",
            fix="give (rows or 1, heads or 1, new tokens, visible tokens)",
        )
    return mask_BNTS


def _checked_positions(step: Step, position_ids: Tensor) -> Tensor:
    if position_ids.ndim == 1:
        position_ids = position_ids[None]
    if position_ids.shape not in ((step.batch, step.new), (1, step.new)):
        raise InputError(
            f"position_ids has shape {tuple(position_ids.shape)}, expected ({step.batch}, {step.new})",
            fix="give one position for each new token, or leave position_ids out",
        )
    if position_ids.is_floating_point():
        raise InputError(
            f"position_ids has elements of {position_ids.dtype}", fix="give integers: position_ids.long()"
        )
    return position_ids


def _rows_first(order: Tensor) -> Tensor:
    return order[None] if order.ndim == 1 else order
