"""Methods with codebooks and grids: AQLM, VPTQ, HIGGS; and SpQR's tiles with outliers."""

from __future__ import annotations

import torch

from hf_config.quantization import AqlmConfig, HiggsConfig, SpQRConfig, VptqConfig
from hf_hub_io.jsonio import JsonValue
from hf_quant.codec import Codec, Stored
from hf_quant.codecs.aqlm import Aqlm
from hf_quant.codecs.higgs import Higgs, template_of_tile, tile_of_template
from hf_quant.codecs.spqr import TILE, SpQR
from hf_quant.codecs.vptq import Vptq
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Codecs, Method, Place, Saved
from hf_quant.skip import Skip


def aqlm_packed(config: AqlmConfig, place: Place, beside: Beside) -> Codec | None:
    """The layer's format."""
    return Aqlm(
        inputs=config.in_group_size,
        outputs=config.out_group_size,
        codebooks=config.num_codebooks,
        bits=config.nbits_per_codebook,
    )


def vptq_packed(config: VptqConfig, place: Place, beside: Beside) -> Codec | None:
    """The layer's format, from its own entry or that of all layers of its name. Raises QuantizationConfigError."""
    kind = place.module.rpartition(".")[2]
    own = config.config_for_layers.get(place.module) or config.shared_layer_config.get(kind)
    if own is None:
        raise QuantizationConfigError(
            f"{place.module} is packed, and quantization_config.config_for_layers says nothing about it",
            fix="add the layer's entry",
        )
    (outlier_vector, vector), (outlier_centroids, centroids) = own.vector_lens, own.num_centroids
    outliers = own.outlier_size if outlier_vector > 1 and outlier_centroids > 0 else 0
    return Vptq(
        shape_NK=(own.out_features, own.in_features),
        vector=vector,
        centroids=centroids,
        residual=max(own.num_res_centroids[1], 0),
        groups=own.group_num,
        group=own.group_size,
        outliers=outliers,
        outlier_vector=outlier_vector if outliers else 0,
        outlier_centroids=outlier_centroids if outliers else 0,
        norm=own.enable_norm,
        permuted=own.enable_perm,
    )


def spqr_packed(config: SpQRConfig, place: Place, beside: Beside) -> Codec | None:
    """The layer's format, with the lengths of its lists as the settings give them, or the file."""
    stored = place.stored

    def length(name: str) -> int:
        said = config.shapes.get(f"{place.module}.{name}.shape")
        return said if said is not None else stored[name].shape[0] if name in stored else 0

    words, offsets, permutation = length("dense_weights"), length("row_offsets"), length("in_perm")
    rows = (offsets - 1) * (TILE if _in_turn(stored.get("row_offsets")) else 1)
    tiles = -(-rows // TILE)
    columns = 2 * permutation if permutation else words // max(tiles, 1)
    return SpQR(
        shape_NK=(rows, columns),
        outliers=length("col_vals"),
        row_offsets=offsets,
        permutation=permutation,
    )


def _in_turn(offsets: Stored | None) -> bool:
    """Whether outliers are listed for 16 rows in turn, by offsets that are then all multiples of 16."""
    if offsets is None:
        return False
    values = offsets.read()
    return bool(values[-1] > 0) and not bool((values % TILE).any())


def higgs_packed(config: HiggsConfig, place: Place, beside: Beside) -> Codec | None:
    """The layer's format; its entry in tune_metadata tells the order of bits. Raises QuantizationConfigError."""
    entry = config.tune_metadata.get(place.module)
    template = entry.get("template_id") if isinstance(entry, dict) else None
    if not isinstance(template, int):
        raise QuantizationConfigError(
            f"{place.module}: quantization_config.tune_metadata names no template_id, by which its bits are ordered",
            fix="fetch config.json again",
        )
    scales = place.stored.get("scales")
    return _higgs(config, tile_of_template(config.bits, template), None if scales is None else scales.dtype)


def higgs_create(config: HiggsConfig, place: Place) -> Codec | None:
    """The layer's format; narrow tiles fit the most sizes."""
    return _higgs(config, 32, None)


def _higgs(config: HiggsConfig, tile: int, dtype: torch.dtype | None) -> Higgs:
    return Higgs(
        bits=config.bits,
        p=config.p,
        group=config.group_size,
        hadamard=config.hadamard_size,
        tile=tile,
        dtype=dtype or torch.float16,
    )


def higgs_saved(config: HiggsConfig, codecs: Codecs, beside: Beside) -> Saved:
    """Entries of tune_metadata for layers that have none: which template's order of bits they are in."""
    known = config.tune_metadata
    made: dict[str, JsonValue] = {
        name: {
            "num_bits": codec.bits,
            "group_size": codec.group,
            "template_id": template_of_tile(codec.bits, codec.tile),
            "dtype": str(codec.dtype).removeprefix("torch."),
        }
        for name, codec in codecs.items()
        if isinstance(codec, Higgs) and name not in known
    }
    if not made:
        return Saved()
    written = config.to_dict()
    before = written.get("tune_metadata")
    return Saved(
        config={**written, "tune_metadata": {**(before if isinstance(before, dict) else {}), **made}}
    )


AQLM = Method(
    name="aqlm",
    config=AqlmConfig,
    suffixes=frozenset({"codes", "codebooks", "scales"}),
    packed=aqlm_packed,
    skip=lambda config: Skip(patterns=config.linear_weights_not_to_quantize),
)
VPTQ = Method(
    name="vptq",
    config=VptqConfig,
    suffixes=frozenset(
        {
            "indices",
            "centroids.weight",
            "res_centroids.weight",
            "outlier_indices",
            "outlier_centroids.weight",
            "perm",
            "weight_scale",
            "weight_bias",
        }
    ),
    packed=vptq_packed,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
HIGGS = Method(
    name="higgs",
    config=HiggsConfig,
    suffixes=frozenset({"weight", "scales", "tables", "tables2"}),
    packed=higgs_packed,
    create=higgs_create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
    saved=higgs_saved,
)
SPQR = Method(
    name="spqr",
    config=SpQRConfig,
    suffixes=frozenset({"dense_weights", "row_offsets", "col_vals", "in_perm"}),
    packed=spqr_packed,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
