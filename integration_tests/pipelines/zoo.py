"""Four tiny models that learn their task in seconds, from sentences made by templates.

Words of training and of testing are combined differently, names are made of syllables: nothing is solved by heart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

import hf_modeling
from hf_config import AutoConfig, BertConfig, PreTrainedConfig
from hf_modeling.model import PreTrainedModel
from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_train import Trainer
from hf_train.testing import Rows, quiet

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SYLLABLES = ["ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "zo"]
GOOD = ["good", "great", "lovely", "tasty", "fine", "charming"]
BAD = ["bad", "awful", "boring", "bland", "poor", "dreadful"]
THINGS = ["film", "meal", "room", "book", "song", "garden", "boat", "lamp"]
COLOURS = ["red", "blue", "green", "black", "white", "yellow"]
PLACES = ["kitchen", "harbour", "market", "station", "library", "forest"]
FILLERS = re.findall(
    r"\S+",
    "the was not at all with a very , . ? and we found it i think that in lives works for today bought went to "
    "where who what colour is saw there",
)
LENGTH = 32
WORDS = [*GOOD, *BAD, *THINGS, *COLOURS, *PLACES, *FILLERS]
NER_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "B-ORG"]
Row = dict[str, Any]


def tokenizer(folder: Path) -> PreTrainedTokenizer:
    """WordPiece over the words and syllables above."""
    vocabulary = [*SPECIAL, *dict.fromkeys([*WORDS, *SYLLABLES, *(f"##{part}" for part in SYLLABLES)])]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    roles = {"tokenizer_class": "BertTokenizer", "model_max_length": LENGTH, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
    return AutoTokenizer.from_pretrained(folder)


def name(random: Random) -> str:
    return "".join(random.choices(SYLLABLES, k=random.choice((2, 3)))).capitalize()


def reviews(seed: int) -> Iterator[tuple[str, str]]:
    """Sentences with their label; "not" turns it around."""
    random = Random(seed)
    while True:
        good, negated = random.random() < 0.5, random.random() < 0.4
        word = random.choice(GOOD if good else BAD)
        thing = random.choice(THINGS)
        opening = random.choice(["the", "i think the", "we found that the"])
        yield (
            f"{opening} {thing} was {'not ' * negated}{word}.",
            "POSITIVE" if good != negated else "NEGATIVE",
        )


def people(seed: int) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Sentences with the places of their person, town and company."""
    random = Random(seed)
    while True:
        person, town, company = f"{name(random)} {name(random)}", name(random), name(random)
        text = random.choice(["{P} lives in {L} and works for {O}.", "In {L}, {P} works for {O}."])
        found: dict[str, tuple[int, int]] = {}
        for kind, value in (("P", person), ("L", town), ("O", company)):
            text = text.replace(f"{{{kind}}}", f"<{kind}>{value}</{kind}>")
        while "<" in text:
            kind = text[text.index("<") + 1]
            start = text.index("<")
            text = text.replace(f"<{kind}>", "", 1)
            end = text.index(f"</{kind}>")
            text = text.replace(f"</{kind}>", "", 1)
            found[{"P": "PER", "L": "LOC", "O": "ORG"}[kind]] = (start, end)
        yield text, found


def questions(seed: int) -> Iterator[tuple[str, str, str]]:
    """A question, a context and the answer in it."""
    random = Random(seed)
    while True:
        who, where, colour = name(random), random.choice(PLACES), random.choice(COLOURS)
        thing = random.choice(THINGS)
        context = random.choice(["{w} saw a {c} {t} in the {p}.", "In the {p} there was {w} with a {c} {t}."])
        context = context.format(w=who, c=colour, t=thing, p=where)
        question, answer = random.choice([("who?", who), ("where?", where), ("what colour?", colour)])
        yield question, context, answer


def reports(seed: int) -> Iterator[tuple[str, str]]:
    """A text and its summary."""
    random = Random(seed)
    while True:
        colour, thing, place = random.choice(COLOURS), random.choice(THINGS), random.choice(PLACES)
        text = f"today we went to the {place} and bought a very {random.choice(GOOD)} {colour} {thing}."
        yield text, f"{colour} {thing}, {place}"


def padded(encoding: Row, filler: dict[str, int]) -> Row:
    """Columns filled up to one length."""
    return {
        key: [*values, *[filler.get(key, 0)] * (LENGTH - len(values))] for key, values in encoding.items()
    }


def sentiment(words: PreTrainedTokenizer, folder: Path) -> PreTrainedModel:
    labels = ["NEGATIVE", "POSITIVE"]
    rows = [
        {**padded(dict(words(text)), {}), "labels": labels.index(label)}
        for text, label in take(reviews(1), 640)
    ]
    config = encoder(words, labels)
    return trained(hf_modeling.BertForSequenceClassification(config), rows, folder, steps=300, rate=1.5e-3)


def entities(words: PreTrainedTokenizer, folder: Path) -> PreTrainedModel:
    rows = []
    for text, found in take(people(1), 960):
        encoding = dict(words(text, return_offsets_mapping=True))
        offsets = encoding.pop("offset_mapping")
        encoding["labels"] = [ner_label(span, text, found) for span in offsets]
        rows.append(padded(encoding, {"labels": -100}))
    config = encoder(words, NER_LABELS)
    return trained(hf_modeling.BertForTokenClassification(config), rows, folder, steps=150)


def ner_label(span: tuple[int, int], text: str, found: dict[str, tuple[int, int]]) -> int:
    """The label of a token; -100 for special ones."""
    if span[0] == span[1]:
        return -100
    for kind, (start, end) in found.items():
        if start <= span[0] < end:
            begins = kind != "PER" or " " not in text[start : span[0]]
            return NER_LABELS.index(f"{'B' if begins else 'I'}-{kind}")
    return 0


def answers(words: PreTrainedTokenizer, folder: Path) -> PreTrainedModel:
    rows = []
    for question, context, answer in take(questions(1), 1280):
        encoding = words([question], [context], return_offsets_mapping=True)
        row = {key: encoding[key][0] for key in ("input_ids", "attention_mask", "token_type_ids")}
        start = context.index(answer)
        inside = [
            place
            for place, (begin, end) in enumerate(encoding["offset_mapping"][0])
            if row["token_type_ids"][place] and begin < end and start <= begin < start + len(answer)
        ]
        rows.append({**padded(row, {}), "start_positions": inside[0], "end_positions": inside[-1]})
    config = encoder(words, ["LABEL_0", "LABEL_1"])
    return trained(hf_modeling.BertForQuestionAnswering(config), rows, folder, steps=240)


def summaries(words: PreTrainedTokenizer, folder: Path, steps: int = 400) -> PreTrainedModel:
    rows = []
    for text, summary in take(reports(1), 1280):
        target = words(summary, add_special_tokens=False)["input_ids"] + [words.sep_token_id]
        row = padded(dict(words(text)), {})
        row.pop("token_type_ids", None)
        rows.append({**row, "labels": [*target, *[-100] * (8 - len(target))]})
    config = AutoConfig.for_model(
        "t5",
        vocab_size=len(words),
        d_model=48,
        d_kv=12,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.sep_token_id,
        decoder_start_token_id=words.pad_token_id,
    )
    torch.manual_seed(0)
    return trained(hf_modeling.T5ForConditionalGeneration(config), rows, folder, steps=steps, rate=5e-3)


def encoder(words: PreTrainedTokenizer, labels: Sequence[str]) -> PreTrainedConfig:
    """A BERT of two layers; seeds torch, so that the model made next is always the same."""
    torch.manual_seed(0)
    return BertConfig(
        vocab_size=len(words),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
        id2label=dict(enumerate(labels)),
    )


def take(source: Iterator[Any], count: int) -> list[Any]:
    return [next(source) for _ in range(count)]


def trained(model: Any, rows: list[Row], folder: Path, *, steps: int, rate: float = 4e-3) -> PreTrainedModel:
    """The model after `steps` batches of 32."""
    arguments = quiet(
        folder,
        max_steps=steps,
        per_device_train_batch_size=32,
        learning_rate=rate,
        warmup_steps=10,
        lr_scheduler_type="cosine",
        save_strategy="no",
        logging_steps=steps,
    )
    Trainer(model, arguments, train_dataset=Rows(rows)).train()
    return model.eval()
