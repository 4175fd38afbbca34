"""Gemma's low-bit layers against the peer's own: packed rows, embeddings, and rounded activations."""

import warnings

import pytest
import torch

from hf_quant.codecs.gemma import GemmaRows
from integration_tests.peer import peer

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_layers_calculate_what_the_peer_s_do(bits: int) -> None:
    peer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.integrations.gemma_quant import QuantizedEmbedding, QuantizedLinear
    generator = torch.Generator().manual_seed(0)
    codec = GemmaRows(bits=bits)
    parts = codec.quantize(torch.randn(16, 32, generator=generator))
    theirs = QuantizedLinear(32, 16, num_bits=bits)
    theirs.weight.data, theirs.weight_scale.data = parts["weight"], parts["weight_scale"]
    x = torch.randn(5, 32, generator=generator)
    for into, out in ((0.0, 0.0), (0.02, 0.0), (0.02, 0.1)):
        theirs.input_activation_scale.data.fill_(into)
        theirs.output_activation_scale.data.fill_(out)
        scales = {
            "input_activation_scale": torch.tensor(into),
            "output_activation_scale": torch.tensor(out),
        }
        torch.testing.assert_close(codec.product(x, {**parts, **scales}, (16, 32)), theirs(x))
    table = QuantizedEmbedding(16, 32, torch.float32, num_bits=bits)
    wide = GemmaRows(bits=bits, embedding=True, scales=4)
    parts = wide.quantize(torch.randn(16, 32, generator=generator))
    table.embedding_quantized.data, table.embedding_scale.data = parts["weight"], parts["weight_scale"]
    assert torch.equal(wide.dequantize(parts, (16, 32), torch.float32), table.weight)
