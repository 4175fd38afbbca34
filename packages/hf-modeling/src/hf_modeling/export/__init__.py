"""One family's model as one Python file that needs nothing but PyTorch."""

from hf_modeling.export.code import export_code

__all__ = ["export_code"]
