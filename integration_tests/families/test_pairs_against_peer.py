"""Encoder-decoders made of two other models, against the peer: bert2bert, widths that differ, other decoders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hf_config import BertConfig, EncoderDecoderConfig
from hf_modeling import AutoModelForSeq2SeqLM
from hf_modeling.errors import SpecError
from hf_modeling.families import find_family
from integration_tests.families.seq2seq_oracle import fill_seq2seq, relative_error
from integration_tests.peer import peer

pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 96,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
GPT2: dict[str, Any] = {
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 3,
    "vocab_size": 90,
    "n_positions": 40,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PAIRS: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "bert2bert": (("bert", BERT), ("bert", {**BERT, "num_hidden_layers": 3, "intermediate_size": 28})),
    "wider": (("bert", BERT), ("bert", {**BERT, "hidden_size": 24, "hidden_act": "relu"})),
    "bert2gpt2": (("bert", BERT), ("gpt2", GPT2)),
    "roberta2roberta": (
        ("roberta", {**BERT, "pad_token_id": 1}),
        ("roberta", {**BERT, "pad_token_id": 1, "num_hidden_layers": 1}),
    ),
    "distilbert2bert": (
        ("distilbert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 20, "vocab_size": 96}),
        ("bert", BERT),
    ),
}


@pytest.fixture(scope="module", params=PAIRS)
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The peer's pair, ours from its files, and where they are."""
    transformers = peer()
    encoder, decoder = (
        transformers.AutoConfig.for_model(name, **arguments) for name, arguments in PAIRS[request.param]
    )
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 5, 0, 3
    model = transformers.EncoderDecoderModel(config=config).eval()
    model.set_attn_implementation("eager")
    fill_seq2seq(model)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return model, AutoModelForSeq2SeqLM.from_pretrained(folder), folder


def texts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids, answers = (torch.randint(8, 88, (2, n), generator=generator) for n in (12, 7))
    mask = torch.ones_like(ids)
    ids[1, 8:], mask[1, 8:] = 0, 0
    return ids, mask, answers


@pytest.mark.filterwarnings("ignore:Version v4.12.0 introduces:FutureWarning")  # the peer, at every loss
def test_logits_loss_and_gradient(sides: tuple[Any, Any, Path]) -> None:
    ids, mask, answers = texts()
    theirs, ours = (
        side(input_ids=ids, attention_mask=mask, decoder_input_ids=answers, labels=answers, use_cache=False)
        for side in sides[:2]
    )
    assert relative_error(ours.logits, theirs.logits) < TOLERANCE
    assert relative_error(ours.loss.detach(), theirs.loss.detach()) < TOLERANCE
    norms = []
    for side, output in ((sides[0], theirs), (sides[1], ours)):
        side.zero_grad()
        output.loss.backward()
        norms.append(torch.stack([p.grad.norm() for p in side.parameters() if p.grad is not None]).norm())
        side.zero_grad()
    assert relative_error(norms[1], norms[0]) < TOLERANCE * 10
    shifted, again = (side(input_ids=ids, attention_mask=mask, labels=answers).loss for side in sides[:2])
    assert relative_error(again.detach(), shifted.detach()) < TOLERANCE


@pytest.mark.parametrize("beams", [1, 3])
def test_answers(sides: tuple[Any, Any, Path], beams: int) -> None:
    theirs, ours, _ = sides
    ids, mask, _ = texts()
    options: dict[str, Any] = {
        "max_new_tokens": 9,
        "num_beams": beams,
        "do_sample": False,
        "decoder_start_token_id": 5,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "suppress_tokens": [1],  # RoBERTa's padding, which its decoder does not count
    }
    found = ours.generate(ids, attention_mask=mask, **options)
    assert found.tolist() == theirs.generate(ids, attention_mask=mask, **options).tolist()


def test_saved_files_are_the_peers_files(sides: tuple[Any, Any, Path], tmp_path: Path) -> None:
    theirs, ours, folder = sides
    ours.save_pretrained(tmp_path)
    written, expected = (load_file(one / "model.safetensors") for one in (tmp_path, folder))
    assert sorted(written) == sorted(expected)
    assert all(torch.equal(written[name], expected[name]) for name in expected)
    ids, mask, answers = texts()
    again = type(theirs).from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = [
            side(input_ids=ids, attention_mask=mask, decoder_input_ids=answers).logits
            for side in (again, theirs)
        ]
    assert relative_error(logits[0], logits[1]) < TOLERANCE


def test_halves_that_do_not_fit_are_named() -> None:
    from hf_config import AutoConfig

    family = find_family("encoder-decoder")
    with pytest.raises(SpecError, match="both directions"):
        family.spec(EncoderDecoderConfig(encoder=AutoConfig.for_model("gpt2")))
    with pytest.raises(SpecError, match="'mamba' cannot be the decoder"):
        family.spec(EncoderDecoderConfig(encoder=BertConfig(), decoder=AutoConfig.for_model("mamba")))
