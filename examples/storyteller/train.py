"""Train the small model that `hft demo generate` and `hft chat` speak with, from nothing, on a CPU.

Makes the texts (`stories.py`), trains a byte-level BPE tokenizer on them, packs them, trains a Llama of two million
parameters with the Trainer, and writes what ships: bfloat16 weights, tokenizer, model card, loss curve.

    python examples/storyteller/train.py --output storyteller          # about twenty minutes on two cores
    python examples/storyteller/train.py --output /tmp/try --steps 20  # a look
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from stories import Sample, Storyteller
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from hf_config import GenerationConfig
from hf_config.families.llama import LlamaConfig
from hf_modeling import LlamaForCausalLM
from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.callbacks import TrainerState
from hf_train.card import training_card
from hf_train.collators import PackedCollator, Row, pack
from hf_train.report import CURVES_NAME, draw_curves

VOCABULARY = 2048
LENGTH = 256
BEGIN, END, USER, TELLER, PAD = "<|begin|>", "<|end|>", "<|user|>", "<|storyteller|>", "<|pad|>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|storyteller|>' + message['content'] + '<|end|>' }}"
    "{% else %}{{ '<|user|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|storyteller|>' }}{% endif %}"
)


def samples(count: int, seed: int) -> list[Sample]:
    """Stories, and small talk for one in twelve."""
    teller = Storyteller(seed)
    return [teller.small_talk() if teller.random.random() < 1 / 12 else teller.story() for _ in range(count)]


def seed_tokenizer(folder: Path) -> PreTrainedTokenizer:
    """A byte-level BPE tokenizer without merges: the alphabet, the special tokens and the chat template."""
    special = [PAD, BEGIN, END, USER, TELLER]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    rust = Tokenizer(models.BPE(vocabulary, []))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    rust.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, 1)]
    )
    rust.add_special_tokens(special)
    folder.mkdir(parents=True, exist_ok=True)
    rust.save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "extra_special_tokens": [USER, TELLER],
        "chat_template": TEMPLATE,
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    return AutoTokenizer.from_pretrained(folder)


def rows(tokenizer: PreTrainedTokenizer, texts: list[Sample], *, asked: float) -> list[Row]:
    """Packed rows. A share `asked` of the stories comes after the request for it, the others stand alone."""
    shown = []
    for number, sample in enumerate(texts):
        if sample.text.count(" ") < 40 or number % 100 < 100 * asked:
            shown.append(f"{BEGIN}{USER}{sample.request}{END}{TELLER}{sample.text}{END}")
        else:
            shown.append(f"{BEGIN}{sample.text}{END}")
    encoded = tokenizer(shown, add_special_tokens=False)["input_ids"]
    return list(pack(({"input_ids": ids} for ids in encoded), LENGTH))


def config() -> LlamaConfig:
    """Two million parameters; heads of 32, embedding and output share their weights."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=6,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def trained(options: argparse.Namespace, tokenizer: PreTrainedTokenizer) -> Trainer:
    """The Trainer after training; its folder holds checkpoints and logs."""
    train = rows(tokenizer, samples(options.stories, seed=0), asked=0.6)
    held_out = rows(tokenizer, samples(60, seed=1), asked=0.6)
    arguments = TrainingArguments(
        output_dir=str(options.work),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        per_device_eval_batch_size=32,
        bf16=True,
        optim="muon",
        learning_rate=4e-3,
        weight_decay=0.05,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": int(0.4 * options.steps), "decay_type": "linear"},
        warmup_steps=min(20, options.steps // 5),
        logging_steps=10,
        eval_strategy="steps",
        eval_steps=max(options.steps // 6, 1),
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=max(options.steps // 4, 1),
        save_total_limit=2,
        remove_unused_columns=False,
        disable_tqdm=True,
        seed=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config())
    print(f"{model.num_parameters():,} parameters, {len(train):,} rows of up to {LENGTH} tokens")
    collate = PackedCollator(pad_token_id=0, pad_to=LENGTH)
    trainer = Trainer(
        model, arguments, collate, train_dataset=train, eval_dataset=held_out, processing_class=tokenizer
    )
    trainer.train(resume_from_checkpoint=options.resume)
    return trainer


def ship(folder: Path, output: Path) -> None:
    """Write what a user loads: weights in bfloat16, tokenizer, settings of generation, card, learning curves."""
    output.mkdir(parents=True, exist_ok=True)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(output)
    AutoTokenizer.from_pretrained(folder).save_pretrained(output)
    GenerationConfig(
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        do_sample=True,
        temperature=0.7,
        top_k=40,
        max_new_tokens=240,
    ).save_pretrained(output)
    state = TrainerState.load_from_json(folder / "trainer_state.json")
    arguments = json.loads((folder / "arguments.json").read_text())
    card = training_card(
        "Storyteller",
        state,
        arguments,
        license="apache-2.0",
        language=("en",),
        tasks="text-generation",
        tags=("storyteller", "tiny"),
        intended_use=USE,
        data=DATA,
    )
    card.save(output)
    (output / CURVES_NAME).write_bytes(draw_curves(state.log_history, title="Storyteller"))


USE = """A demonstration: it shows within a second what loading, generation, chat and streaming do, on any machine and
without a download. It knows sixteen kinds of small stories in simple English, and a little small talk. It knows
nothing about the world, cannot reason, and should be used for nothing that matters.

```python
from hf_pipelines import pipeline

teller = pipeline("text-generation", "path/to/storyteller")
teller([{"role": "user", "content": "Tell me a story about a dragon."}])
```"""
DATA = """Twenty-four thousand small stories and bits of small talk, drawn by `examples/storyteller/stories.py` from
plots and words that were written for this project. No text of anybody else, and no personal data. Two stories in
five stand alone, the others follow a request. The idea that small stories make small models speak is that of
TinyStories (arXiv 2305.07759); none of its data was used.

![learning curves](learning_curves.png)"""


def main() -> None:
    """Train, then write what ships to `--output`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--work", type=Path, default=Path("storyteller-run"), help="folder of checkpoints")
    parser.add_argument("--stories", type=int, default=24_000)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --work")
    parser.add_argument(
        "--ship-only", action="store_true", help="only write what ships, of a run that is done"
    )
    options = parser.parse_args()
    final = options.work / "final"
    if not options.ship_only:
        started = time.monotonic()
        texts = (sample.text for sample in samples(4000, seed=2))
        seed = seed_tokenizer(options.work / "seed-tokenizer")
        tokenizer = seed.train_new_from_iterator(texts, VOCABULARY)
        shutil.rmtree(options.work / "seed-tokenizer")
        trainer = trained(options, tokenizer)
        print(f"trained in {time.monotonic() - started:.0f} s")
        trainer.save_model(str(final))
        trainer.state.save_to_json(final / "trainer_state.json")
        (final / "arguments.json").write_text(json.dumps(trainer.args.to_dict()))
    ship(final, options.output)


if __name__ == "__main__":
    main()
