"""Tiny checkpoints written by the peer: the numbers the parity table compares with."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from integration_tests.families.tiny_configs import VOCABULARY, Row
from integration_tests.peer import peer

FIRST_ORDINARY_ID = 4  # ids below are padding and begin/end marks in some row
LENGTH = 13
KEPT_AS_BUILT = ("beta", "eps", "slope_rate", "_decay")  # constants of a formula, not weights


@dataclass(frozen=True)
class Oracle:
    """A peer model with random weights, and the folder it was saved to."""

    model: nn.Module
    folder: Path

    def reloaded(self, folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The peer's model as it reads it from `folder`."""
        from transformers import PreTrainedModel

        assert isinstance(self.model, PreTrainedModel)
        loaded: nn.Module = type(self.model).from_pretrained(folder, dtype=dtype).eval()
        return loaded

    def logits(self, ids_BT: Tensor) -> Tensor:
        """The peer's logits in one uncached forward pass without padding."""
        with torch.no_grad():
            output = self.model(input_ids=ids_BT)
        logits: Tensor = output.logits
        return logits


def build_oracle(row: Row, folder: Path) -> Oracle:
    """The peer's model for `row`, every weight random (norms and biases too), saved in `folder`."""
    transformers = peer()
    config = transformers.AutoConfig.for_model(row.model_type, **row.arguments)
    if row.peer_class == "AutoModelForCausalLM":
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    else:
        model = getattr(transformers, row.peer_class)(config).eval()
    if model._supports_sdpa:
        model.set_attn_implementation("eager")
    fill(model)
    model.save_pretrained(folder)
    return Oracle(model, folder)


def fill(model: nn.Module) -> None:
    """Give every weight a random value, the norms and biases that start at one or zero too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("time_decay") or (
                tensor.is_floating_point() and not name.endswith(KEPT_AS_BUILT)
            ):
                tensor.normal_(0, 0.25)


def random_ids(*shape: int, seed: int = 1) -> Tensor:
    """Token ids that mark nothing."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(FIRST_ORDINARY_ID, VOCABULARY, shape, generator=generator)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the scale (largest magnitude) of what was expected."""
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())
