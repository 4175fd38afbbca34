"""The golden prints: what each row's spec and weight table resolved to when somebody last read them."""

from pathlib import Path

from hf_config import config_class
from hf_modeling.show import show_model
from integration_tests.families.encoder_rows import EncoderRow
from integration_tests.families.seq2seq_rows import Seq2SeqRow
from integration_tests.families.tiny_configs import Row

GOLDEN = Path(__file__).parent / "golden"


def golden_file(row: Row | EncoderRow | Seq2SeqRow) -> Path:
    """Where the row's print is kept; of encoders, one for each family."""
    if isinstance(row, Seq2SeqRow):
        return GOLDEN / "seq2seq" / f"{row.name}.txt"
    if isinstance(row, EncoderRow):
        return GOLDEN / "encoders" / f"{row.model_type}.txt"
    return GOLDEN / f"{row.name}.txt"


def printed(row: Row | EncoderRow | Seq2SeqRow) -> str:
    """What the row's arguments print today; neither the peer nor weights are needed."""
    arguments = row.drawn(0) if isinstance(row, Seq2SeqRow) else row.arguments
    return show_model(config_class(row.model_type).from_dict(arguments))
