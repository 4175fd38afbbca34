"""Which quantized checkpoints this environment can read."""

from importlib.metadata import entry_points

from hf_modeling.quantizer import ENTRY_POINTS


def methods() -> dict[str, str]:
    """The distribution that reads each quantization method, by `quant_method` as in a checkpoint's config.

    Nothing is imported: a method is listed from the metadata of the package that registers it. Where two
    packages register one method, the first on the path is listed, which is the one that loading takes.
    """
    found: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, point.dist.name if point.dist else "")
    return dict(sorted(found.items()))
