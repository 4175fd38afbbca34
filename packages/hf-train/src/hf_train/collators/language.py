"""Collators of language modelling: next tokens, masked tokens, masked words, permuted orders.

B rows, T tokens. Random choices come from PyTorch's generator, so a seeded run repeats them; with `seed` they
are a function of the batch instead, and an evaluation sees the same masks every time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import final

import torch
from torch import Generator, Tensor

from hf_tokenize import PreTrainedTokenizer
from hf_train.collators.common import IGNORED, Batch, CollatorError, Kind, Row, delivered, label_column


@final
@dataclass(frozen=True)
class DataCollatorForLanguageModeling:
    """Pads rows and makes labels: of masked tokens with `mlm`, else the tokens themselves.

    Without `mlm`, labels are the input ids with -100 at padding. Padding is told by the attention mask where rows
    have one; so an end-of-text token that also serves as padding is still learned where a text ends.

    Args:
        mlm_probability: share of tokens to predict, special ones excluded.
        mask_replace_prob, random_replace_prob: shares of those that become the mask token, or a random one; the
            rest stays as it is.
        whole_word_mask: choose words, and mask all tokens of each. Needs rows with `offset_mapping`.
        seed: None for new masks every time.
    """

    tokenizer: PreTrainedTokenizer
    mlm: bool = True
    mlm_probability: float = 0.15
    _: KW_ONLY
    whole_word_mask: bool = False
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    seed: int | None = None
    return_tensors: Kind = "pt"

    def __post_init__(self) -> None:
        shares = (self.mlm_probability, self.mask_replace_prob, self.random_replace_prob)
        if not all(0 <= share <= 1 for share in shares) or sum(shares[1:]) > 1:
            raise CollatorError(
                f"mlm_probability={shares[0]}, mask_replace_prob={shares[1]} and random_replace_prob={shares[2]} are "
                "shares: each from 0 to 1, the last two together at most 1"
            )
        if self.mlm and self.tokenizer.mask_token is None:
            raise CollatorError(
                "masked language modelling needs a mask token, and this tokenizer has none",
                fix="pass mlm=False for a model that predicts next tokens",
            )
        if self.whole_word_mask and not self.mlm:
            raise CollatorError("whole_word_mask=True needs mlm=True")

    def __call__(self, features: Sequence[Row | Sequence[int]]) -> Batch:
        """A padded batch with labels (B, T). Rows are mappings, or the ids alone."""
        rows = [dict(row) if isinstance(row, Mapping) else {"input_ids": list(row)} for row in features]
        label_column(rows)
        masked = [name in rows[0] for name in ("attention_mask", "special_tokens_mask")]
        offsets = [row.pop("offset_mapping", None) for row in rows]
        pads = self.tokenizer.pad(
            [{name: value for name, value in row.items() if name != "labels"} for row in rows],
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
        )
        batch: Batch = dict(pads)
        special_BT = batch.pop("special_tokens_mask", None)
        real_BT = batch["attention_mask"].bool() if "attention_mask" in batch else None
        if not masked[0] and not isinstance(features[0], Mapping):
            batch.pop("attention_mask", None)
        if not self.mlm:
            batch["labels"] = self._next_tokens(batch["input_ids"], real_BT)
            return delivered(batch, self.return_tensors)
        barred_BT = special_BT.bool() if special_BT is not None else self._special(batch["input_ids"])
        if real_BT is not None:
            barred_BT = barred_BT | ~real_BT
        words_BT = self._words(offsets, barred_BT) if self.whole_word_mask else None
        batch["input_ids"], batch["labels"] = self._masked(batch["input_ids"], barred_BT, words_BT)
        return delivered(batch, self.return_tensors)

    def _next_tokens(self, ids_BT: Tensor, real_BT: Tensor | None) -> Tensor:
        if real_BT is not None:
            return ids_BT.masked_fill(~real_BT, IGNORED)
        pad = self.tokenizer.pad_token_id
        return ids_BT.clone() if pad is None else ids_BT.masked_fill(ids_BT == pad, IGNORED)

    def _special(self, ids_BT: Tensor) -> Tensor:
        return torch.isin(ids_BT, torch.tensor(self.tokenizer.all_special_ids, dtype=ids_BT.dtype))

    def _masked(self, ids_BT: Tensor, barred_BT: Tensor, words_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        """New ids and labels; the order of draws is that of the peer, so that seeds mean the same."""
        generator = _generator(self.seed, ids_BT)
        first_BT = barred_BT if words_BT is None else barred_BT | ~_begins(words_BT)
        share_BT = torch.full(ids_BT.shape, self.mlm_probability).masked_fill_(first_BT, 0.0)
        chosen_BT = torch.bernoulli(share_BT, generator=generator).bool()
        if words_BT is not None:
            chosen_BT = _whole(chosen_BT, words_BT)
        labels_BT = ids_BT.masked_fill(~chosen_BT, IGNORED)
        # A word that is half shown gives itself away, so whole words are always masked.
        replaced = 1.0 if words_BT is not None else self.mask_replace_prob
        mask_BT = torch.bernoulli(torch.full(ids_BT.shape, replaced), generator=generator).bool() & chosen_BT
        mask_id = self.tokenizer.mask_token_id
        assert mask_id is not None, "checked when the collator was made"
        ids_BT = ids_BT.masked_fill(mask_BT, mask_id)
        if replaced == 1 or self.random_replace_prob == 0:
            return ids_BT, labels_BT
        share = self.random_replace_prob / (1 - replaced)
        random_BT = torch.bernoulli(torch.full(ids_BT.shape, share), generator=generator).bool()
        tokens_BT = torch.randint(len(self.tokenizer), ids_BT.shape, generator=generator)
        return torch.where(random_BT & chosen_BT & ~mask_BT, tokens_BT, ids_BT), labels_BT

    def _words(self, offsets: Sequence[object], barred_BT: Tensor) -> Tensor:
        """The number of the word each token belongs to, (B, T); -1 at special tokens and padding.

        A word begins where the text has a gap before a token, or a special token stands before it.
        """
        words_BT = torch.full(barred_BT.shape, -1)
        left = self.tokenizer.padding_side == "left"
        for row, spans in enumerate(offsets):
            if not isinstance(spans, Sequence):
                raise CollatorError(
                    "whole_word_mask needs to know where tokens stand in the text",
                    fix="tokenize with return_offsets_mapping=True and keep the column (remove_unused_columns=False)",
                )
            shift = barred_BT.shape[1] - len(spans) if left else 0
            word, before = -1, None
            for index, (start, end) in enumerate(spans):
                if barred_BT[row, shift + index]:
                    before = None
                    continue
                word += before is None or start != before
                words_BT[row, shift + index], before = word, end
        return words_BT


def _begins(words_BT: Tensor) -> Tensor:
    before_BT = torch.nn.functional.pad(words_BT[:, :-1], (1, 0), value=-1)
    return (words_BT >= 0) & (words_BT != before_BT)


def _whole(chosen_BT: Tensor, words_BT: Tensor) -> Tensor:
    """Every token of a word one of whose tokens was chosen."""
    B, T = words_BT.shape
    hit_BW = torch.zeros(B, T + 1, dtype=torch.bool).scatter_(1, words_BT.where(chosen_BT, T), True)
    hit_BW[:, T] = False
    return hit_BW.gather(1, words_BT.where(words_BT >= 0, T))


def _generator(seed: int | None, ids_BT: Tensor) -> Generator | None:
    if seed is None:
        return None
    content = bytes(ids_BT.to(torch.int32).contiguous().view(torch.uint8).flatten().tolist())
    return Generator().manual_seed(zlib.crc32(content, seed & 0xFFFFFFFF))


@final
@dataclass(frozen=True)
class DataCollatorForPermutationLanguageModeling:
    """Batches for models that predict tokens in a random order (XLNet, arXiv 1906.08237).

    Spans of up to `max_span_length` tokens are to be predicted, each in a context `1 / plm_probability` times as
    long. The batch has `input_ids`, `labels` (B, T), `perm_mask` (B, T, T), 1 where a token may not see another,
    and `target_mapping` (B, T, T). T must be even: each half is permuted by itself, as the model reuses one.
    """

    tokenizer: PreTrainedTokenizer
    plm_probability: float = 1 / 6
    max_span_length: int = 5
    return_tensors: Kind = "pt"

    def __post_init__(self) -> None:
        if self.tokenizer.mask_token is None:
            raise CollatorError(
                "permutation language modelling needs a mask token, and this tokenizer has none"
            )

    def __call__(self, features: Sequence[Row | Sequence[int]]) -> Batch:
        """A padded batch. Raises CollatorError if its length is odd."""
        rows = [
            {"input_ids": list(row["input_ids"] if isinstance(row, Mapping) else row)} for row in features
        ]
        label_column(rows)
        encoded = self.tokenizer.pad(rows, return_tensors="pt")
        ids_BT, real_BT = encoded["input_ids"], encoded["attention_mask"]
        assert isinstance(ids_BT, Tensor), "tensors were asked for"
        assert isinstance(real_BT, Tensor), "tensors were asked for"
        B, T = ids_BT.shape
        if T % 2:
            raise CollatorError(
                f"rows are {T} tokens long, and the length must be even", fix="pad_to_multiple_of=2"
            )
        special_BT = torch.isin(ids_BT, torch.tensor(self.tokenizer.all_special_ids))
        functional_BT = special_BT | ~real_BT.bool()
        target_BT = torch.stack([self._spans(T) for _ in range(B)]) & ~functional_BT
        masks = [_permutation(target_BT[row], functional_BT[row]) for row in range(B)]
        mask_id = self.tokenizer.mask_token_id
        assert mask_id is not None, "checked when the collator was made"
        batch = {
            "input_ids": ids_BT.masked_fill(target_BT, mask_id),
            "perm_mask": torch.stack(masks),
            "target_mapping": torch.eye(T).expand(B, T, T).clone(),
            "labels": ids_BT.masked_fill(~target_BT, IGNORED),
        }
        return delivered(batch, self.return_tensors)

    def _spans(self, length: int) -> Tensor:
        """Which tokens of a row are to be predicted."""
        target_T = torch.zeros(length, dtype=torch.bool)
        at = 0
        while at < length:
            span = int(torch.randint(1, self.max_span_length + 1, (1,)))
            context = int(span / self.plm_probability)
            start = at + int(torch.randint(context - span + 1, (1,)))
            target_T[start : start + span] = True
            at += context
        return target_T


def _permutation(target_T: Tensor, functional_T: Tensor) -> Tensor:
    """Who may not see whom, (T, T): a token to be predicted is hidden from all that do not come after it."""
    half = target_T.shape[0] // 2
    order = torch.arange(2 * half).view(2, half).t()
    order_T = order[torch.randperm(half)].t().flatten()
    # Tokens that are simply given are seen by everyone and see none of the hidden ones.
    order_T = order_T.masked_fill(~target_T & ~functional_T, -1)
    return ((order_T[:, None] <= order_T[None, :]) & target_T[None, :]).float()
