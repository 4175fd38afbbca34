"""Write golden prints anew: `python -m integration_tests.families.write_golden [row ...]`, all rows by default.

Read what git shows as changed before you commit it: a golden print is only as good as its last reader.
"""

from argparse import ArgumentParser

from hf_modeling.families import FAMILIES
from integration_tests.families.encoder_rows import FIRST, EncoderRow
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.seq2seq_rows import SEQ2SEQ_ROWS, Seq2SeqRow
from integration_tests.families.tiny_configs import ROWS, Row


def main() -> None:
    """Write the prints of the rows named on the command line."""
    known: dict[str, Row | EncoderRow | Seq2SeqRow] = {
        row.name: row for row in ROWS if row.model_type in FAMILIES
    }
    known |= {row.model_type: row for row in FIRST}
    known |= {row.name: row for row in SEQ2SEQ_ROWS}
    parser = ArgumentParser(description="Write golden prints of specs and weight tables anew.")
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="row",
        help="a row of tiny_configs.py or seq2seq_rows.py, or an encoder's model_type; all by default",
    )
    names: list[str] = parser.parse_args().rows
    unknown = sorted(set(names) - known.keys())
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; rows are in tiny_configs.py")
    for folder in ("encoders", "seq2seq"):
        (GOLDEN / folder).mkdir(parents=True, exist_ok=True)
    for name in names or known:
        golden_file(known[name]).write_text(printed(known[name]))


if __name__ == "__main__":
    main()
