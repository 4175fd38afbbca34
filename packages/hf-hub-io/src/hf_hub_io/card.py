"""Model cards: a README whose head is metadata that the Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hf_hub_io.atomic import atomic_write_text
from hf_hub_io.jsonio import JsonLike

CARD_NAME = "README.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """One number of an evaluation, as the Hub shows it next to a model."""

    task: str
    dataset: str
    dataset_name: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """A model card as data. `body` is Markdown; `extra` holds metadata keys that have no field here."""

    model_name: str
    body: str = ""
    license: str | None = None
    language: tuple[str, ...] = ()
    base_model: str | None = None
    library_name: str | None = "hf-transformers"
    pipeline_tag: str | None = None
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    results: tuple[EvaluationResult, ...] = ()
    extra: Mapping[str, JsonLike] = field(default_factory=dict)

    def render(self) -> str:
        """The text of the README: metadata between `---` lines, then a title and `body`."""
        from huggingface_hub import EvalResult, ModelCardData

        data = ModelCardData(
            license=self.license,
            language=list(self.language) or None,
            base_model=self.base_model,
            library_name=self.library_name,
            pipeline_tag=self.pipeline_tag,
            datasets=list(self.datasets) or None,
            metrics=list(self.metrics) or None,
            tags=list(self.tags) or None,
            model_name=self.model_name if self.results else None,
            eval_results=[
                EvalResult(
                    task_type=result.task,
                    dataset_type=result.dataset,
                    dataset_name=result.dataset_name,
                    metric_type=result.metric,
                    metric_value=result.value,
                )
                for result in self.results
            ]
            or None,
        )
        for key, value in self.extra.items():
            data[key] = value
        body = self.body if self.body.lstrip().startswith("#") else f"# {self.model_name}\n\n{self.body}"
        return f"---\n{data.to_yaml()}\n---\n\n{body.strip()}\n"

    def save(self, directory: str | Path) -> Path:
        """Writes the card as `README.md` into a folder, atomically, and gives its path."""
        path = Path(directory) / CARD_NAME
        atomic_write_text(path, self.render())
        return path


def read_card_metadata(path: str | Path) -> dict[str, object]:
    """The metadata at the head of a model card; empty when it has none."""
    from huggingface_hub import ModelCard as HubCard

    text = Path(path).read_text(encoding="utf-8")
    data = HubCard(text, ignore_metadata_errors=True).data
    return {key: value for key, value in vars(data).items() if value is not None}
