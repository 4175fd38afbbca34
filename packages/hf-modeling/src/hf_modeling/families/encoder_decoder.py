"""Any encoder with any decoder that attends to it: two checkpoints' architectures in one, as bert2bert is."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.encoder_decoder import EncoderDecoderConfig
from hf_modeling.errors import SpecError
from hf_modeling.families import find_family
from hf_modeling.families.family import Family
from hf_modeling.families.pair_parts import as_decoder, decoder_rules, encoder_rules, plain
from hf_modeling.spec import EncoderSpec, Seq2SeqSpec, StartToken
from hf_modeling.weights.table import WeightTable, rule


def spec(c: EncoderDecoderConfig) -> Seq2SeqSpec:
    """The pair that the config describes. Raises SpecError for halves that cannot be one."""
    encoder = find_family(c.encoder.model_type).spec(plain(c.encoder))
    if not isinstance(encoder, EncoderSpec):
        raise SpecError(
            f"{c.encoder.model_type!r} does not read in both directions, so it cannot be the encoder of a pair",
            fix="take an encoder such as bert",
        )
    decoder = as_decoder(find_family(c.decoder.model_type).spec(plain(c.decoder)), c.decoder.model_type)
    return Seq2SeqSpec(
        encoder=encoder,
        decoder=decoder,
        decoder_input=StartToken(token=c.decoder_start_token_id),
        shared=False,
        bridge=encoder.width != decoder.width,
    )


def weights(c: EncoderDecoderConfig) -> WeightTable:
    """Each half's own names, behind `encoder.` and `decoder.`."""
    first, second = find_family(c.encoder.model_type), find_family(c.decoder.model_type)
    encoder, decoder = first.weights(plain(c.encoder)), second.weights(plain(c.decoder))
    cross = () if second.cross is None else second.cross(plain(c.decoder))
    return WeightTable(
        prefix="",
        rules=(
            rule("enc_to_dec_proj.{s}", "model.bridge.{s}"),
            *encoder_rules(replace(encoder, rules=(*first.ignored, *encoder.rules))),
            *decoder_rules(replace(decoder, rules=(*second.ignored, *cross, *decoder.rules))),
        ),
    )


FAMILY = Family(
    model_type="encoder-decoder",
    config=EncoderDecoderConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes={"seq2seq-lm": "EncoderDecoderModel"},
)
