from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch

from hf_hub_io import DType, Repo, TensorBytes, save_tensors
from hf_pipelines.errors import PoolingError
from hf_pipelines.pooling import Pooling, SentenceHead, pool, read_sentence_head, transformer_folder

HIDDEN = torch.tensor([[[1.0, -2.0], [3.0, 4.0], [100.0, 100.0]], [[2.0, 8.0], [4.0, 2.0], [6.0, -1.0]]])
MASK = torch.tensor([[True, True, False], [True, True, True]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("cls", [[1.0, -2.0], [2.0, 8.0]]),
        ("lasttoken", [[3.0, 4.0], [6.0, -1.0]]),
        ("max", [[3.0, 4.0], [6.0, 8.0]]),
        ("mean", [[2.0, 1.0], [4.0, 3.0]]),
        ("mean_sqrt_len", [[4 / 2**0.5, 2 / 2**0.5], [12 / 3**0.5, 9 / 3**0.5]]),
        ("weightedmean", [[7 / 3, 6 / 3], [28 / 6, 9 / 6]]),
    ],
)
def test_padding_has_no_part_in_any_mode(mode: Pooling, expected: list[list[float]]) -> None:
    torch.testing.assert_close(pool(HIDDEN, MASK, mode), torch.tensor(expected))


@pytest.mark.parametrize("mode", get_args(Pooling))
def test_no_mask_says_that_every_token_counts(mode: Pooling) -> None:
    torch.testing.assert_close(pool(HIDDEN, None, mode), pool(HIDDEN, torch.ones_like(MASK), mode))


@pytest.mark.parametrize("mode", ["cls", "lasttoken", "max", "mean", "mean_sqrt_len"])
def test_the_side_of_the_padding_does_not_matter(mode: Pooling) -> None:
    left = torch.cat([HIDDEN[:1, 2:], HIDDEN[:1, :2]], dim=1)
    left_mask = torch.tensor([[False, True, True]])
    torch.testing.assert_close(pool(left, left_mask, mode), pool(HIDDEN, MASK, mode)[:1])


def test_several_modes_stand_side_by_side_and_normalising_gives_length_one() -> None:
    head = SentenceHead(modes=("cls", "mean"), normalize=False)
    assert head(HIDDEN, MASK).tolist() == [[1.0, -2.0, 2.0, 1.0], [2.0, 8.0, 4.0, 3.0]]
    unit = SentenceHead(modes=("mean",))(HIDDEN, MASK)
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(2))


def write_checkpoint(folder: Path, kinds: list[str], pooling: dict[str, object]) -> Repo:
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": "" if n == 0 else f"{n}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for module in modules[1:]:
        (folder / str(module["path"])).mkdir()
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return Repo.open(folder)


def test_a_checkpoint_without_modules_describes_nothing(tmp_path: Path) -> None:
    assert read_sentence_head(Repo.open(tmp_path)) is None
    assert transformer_folder(Repo.open(tmp_path)) == ""


def test_the_usual_checkpoint_is_mean_pooled_and_normalised(tmp_path: Path) -> None:
    repo = write_checkpoint(
        tmp_path,
        ["Transformer", "Pooling", "Normalize"],
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    )
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    head = read_sentence_head(repo)
    assert head == SentenceHead(modes=("mean",), normalize=True, max_tokens=256)


def test_a_head_without_normalize_leaves_lengths_alone(tmp_path: Path) -> None:
    repo = write_checkpoint(tmp_path, ["Transformer", "Pooling"], {"pooling_mode_cls_token": True})
    head = read_sentence_head(repo)
    assert head == SentenceHead(modes=("cls",), normalize=False)


def test_newer_files_name_their_modes(tmp_path: Path) -> None:
    repo = write_checkpoint(tmp_path, ["Transformer", "Pooling"], {"pooling_mode": "cls+max"})
    head = read_sentence_head(repo)
    assert head is not None
    assert head.modes == ("cls", "max")


def test_dense_layers_follow_pooling(tmp_path: Path) -> None:
    repo = write_checkpoint(tmp_path, ["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True})
    weight, bias = torch.tensor([[1.0, 1.0], [0.0, 2.0], [1.0, 0.0]]), torch.tensor([0.0, 1.0, 0.0])
    named = {"linear.weight": weight, "linear.bias": bias}
    save_tensors(
        tmp_path / "2_Dense",
        {
            name: TensorBytes(
                dtype=DType.F32, shape=tuple(t.shape), data=bytes(t.view(torch.uint8).flatten().tolist())
            )
            for name, t in named.items()
        },
    )
    config = {"activation_function": "torch.nn.modules.activation.Tanh"}
    (tmp_path / "2_Dense" / "config.json").write_text(json.dumps(config))
    head = read_sentence_head(repo)
    assert head is not None
    torch.testing.assert_close(
        head(HIDDEN, MASK), torch.tanh(torch.tensor([[3.0, 3.0, 2.0], [7.0, 7.0, 4.0]]))
    )


def test_the_default_prompt_is_read_and_may_be_left_out_of_the_pool(tmp_path: Path) -> None:
    repo = write_checkpoint(
        tmp_path, ["Transformer", "Pooling"], {"pooling_mode_mean_tokens": True, "include_prompt": False}
    )
    settings = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    head = read_sentence_head(repo)
    assert head is not None
    assert (head.prompt, head.pool_prompt) == ("query: ", False)


@pytest.mark.parametrize(
    ("kinds", "pooling", "message"),
    [
        (
            ["Transformer", "Pooling", "WordWeights"],
            {"pooling_mode_mean_tokens": True},
            "names a 'WordWeights' module",
        ),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": False}, "turns on no pooling mode"),
        (["Transformer", "Pooling"], {"pooling_mode_attention": True}, "asks for pooling_mode_attention"),
        (["Transformer", "Pooling"], {"pooling_mode": "median"}, "asks for pooling 'median'"),
        (["Transformer", "Normalize"], {}, "has no Pooling module"),
    ],
)
def test_what_is_not_known_is_an_error(
    tmp_path: Path, kinds: list[str], pooling: dict[str, object], message: str
) -> None:
    repo = write_checkpoint(tmp_path, kinds, pooling)
    with pytest.raises(PoolingError, match=message):
        read_sentence_head(repo)


def test_an_unknown_activation_names_file_and_choices(tmp_path: Path) -> None:
    repo = write_checkpoint(tmp_path, ["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True})
    (tmp_path / "2_Dense" / "config.json").write_text('{"activation_function": "os.system"}')
    with pytest.raises(PoolingError, match=r"2_Dense/config.json .* asks for activation 'system'"):
        read_sentence_head(repo)


def test_old_checkpoints_keep_the_transformer_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(
        '[{"idx": 0, "path": "0_BERT", "type": "sentence_transformers.models.Transformer"}]'
    )
    assert transformer_folder(Repo.open(tmp_path)) == "0_BERT"
