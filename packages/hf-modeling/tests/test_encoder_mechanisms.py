"""Encoders' own mechanisms, held to their definitions written out: windows, blocks, tables, further inputs."""

import pytest
import torch

from hf_config.families.big_bird import BigBirdConfig
from hf_config.families.layoutlm import LayoutLMConfig
from hf_config.families.longformer import LongformerConfig
from hf_config.families.tapas import TapasConfig
from hf_modeling import BigBirdModel, LayoutLMModel, LongformerModel, TapasForQuestionAnswering
from hf_modeling.errors import InputError, SpecError
from hf_modeling.layers.block_sparse import BlockSparseLayer
from hf_modeling.layers.global_window import GlobalWindowLayer

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.mark.parametrize("windows", [(4, 4), (2, 8), (6, 2)])
@pytest.mark.parametrize("marked", [(), (0, 9, 21)], ids=["no global token", "global tokens"])
def test_windows_chunk_by_chunk_are_windows_at_once(
    windows: tuple[int, ...], marked: tuple[int, ...]
) -> None:
    config = LongformerConfig.from_dict(
        {**SIZES, "num_hidden_layers": 2, "attention_window": windows, "max_position_embeddings": 40}
    )
    model = LongformerModel(config).eval()
    ids = torch.randint(4, 50, (2, 30))
    real = torch.ones(2, 30, dtype=torch.long)
    real[1, 23:] = 0
    marks = torch.zeros_like(ids)
    marks[0, list(marked)] = 1
    with torch.no_grad():
        chunked = model(ids, attention_mask=real, global_attention_mask=marks).last_hidden_state
        # Weights exist only where every score does.
        whole = model(ids, attention_mask=real, global_attention_mask=marks, output_attentions=True)
    torch.testing.assert_close(chunked[real.bool()], whole.last_hidden_state[real.bool()])
    assert whole.attentions is not None
    seen = whole.attentions[0][0, 0] > 0
    order = torch.arange(30)
    expected = (order[:, None] - order).abs() <= windows[0] // 2
    expected[:, list(marked)] = expected[list(marked)] = True
    assert torch.equal(seen, expected)


def test_a_window_for_each_layer_or_an_error() -> None:
    config = LongformerConfig.from_dict({**SIZES, "num_hidden_layers": 2, "attention_window": (4, 3)})
    with pytest.raises(SpecError, match="even number for each of 2 layers"):
        LongformerModel(config)


def test_blocks_see_what_is_said() -> None:
    config = BigBirdConfig.from_dict(
        {**SIZES, "num_hidden_layers": 1, "block_size": 2, "num_random_blocks": 1}
    )
    model = BigBirdModel(config).eval()
    layer = model.layers[0].self_attn
    assert isinstance(layer, BlockSparseLayer)
    index, kept = layer._seen_blocks(8, torch.device("cpu"))
    assert index[0, 0].tolist() == [0, 0, 1, 2, 7]
    assert kept[0, 0].tolist() == [True, False, True, True, True]
    layer.train()
    drawn = layer._seen_blocks(8, torch.device("cpu"))[0][..., 5:]
    assert torch.equal(drawn, layer._seen_blocks(8, torch.device("cpu"))[0][..., 5:]), (
        "the same in every call"
    )
    for inner in range(6):
        assert not set(drawn[:, inner].flatten().tolist()) & {0, inner, inner + 1, inner + 2, 7}


def test_training_of_sparse_mixers_reaches_every_weight() -> None:
    longformer = LongformerModel(
        LongformerConfig.from_dict({**SIZES, "num_hidden_layers": 1, "attention_window": 4})
    )
    ids = torch.randint(4, 50, (1, 30))
    marks = torch.zeros_like(ids)
    marks[:, 0] = 1
    longformer(ids, global_attention_mask=marks).last_hidden_state.square().sum().backward()
    mixer = longformer.layers[0].self_attn
    assert isinstance(mixer, GlobalWindowLayer)
    assert all(
        p.grad is not None and bool(p.grad.any())
        for n, p in mixer.named_parameters()
        if "k_proj.bias" not in n
    )
    sparse = BigBirdModel(
        BigBirdConfig.from_dict({**SIZES, "num_hidden_layers": 1, "block_size": 2, "num_random_blocks": 1})
    )
    sparse(ids).last_hidden_state.square().sum().backward()
    assert all(p.grad is not None for p in sparse.layers.parameters())


def test_cells_of_any_columns_may_be_chosen() -> None:
    config = TapasConfig.from_dict(
        {
            **SIZES,
            "num_hidden_layers": 1,
            "type_vocab_sizes": (3, 5, 6, 2, 3, 3, 3),
            "select_one_column": False,
        }
    )
    model = TapasForQuestionAnswering(config).eval()
    ids, types = torch.randint(4, 50, (1, 9)), torch.zeros(1, 9, 7, dtype=torch.long)
    types[..., 1], types[..., 2] = torch.arange(9) % 5, torch.arange(9) % 6
    labels = (torch.arange(9) == 4).long()[None]
    with torch.no_grad():
        output = model(ids, token_type_ids=types, labels=labels)
    assert output.logits.min() > -100, "no column is shut"
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        output.logits, labels.float(), reduction="none"
    )
    weights = torch.where(labels == 1, config.positive_label_weight, 1.0)
    torch.testing.assert_close(output.loss, (each * weights).mean())


def test_inputs_that_are_not_read_or_not_on_the_page_are_refused() -> None:
    model = LayoutLMModel(LayoutLMConfig.from_dict({**SIZES, "num_hidden_layers": 1})).eval()
    ids = torch.randint(4, 50, (1, 3))
    with pytest.raises(InputError, match="does not read task_type_ids"):
        model(ids, task_type_ids=ids)
    with pytest.raises(InputError, match="numbers from 0 to 2000"):
        model(ids, bbox=torch.tensor([[[0, 0, 2000, 5]]]).expand(1, 3, 4))
    with pytest.raises(InputError, match="left <= right"):
        model(ids, bbox=torch.tensor([[[9, 0, 5, 5]]]).expand(1, 3, 4))
