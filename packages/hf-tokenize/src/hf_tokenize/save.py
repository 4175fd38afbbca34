"""A tokenizer as files that this package, the peer and plain `tokenizers` read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hf_hub_io import JsonLike, JsonValue, atomic_write_bytes, dump_json
from hf_tokenize.fingerprint import short
from hf_tokenize.load.files import (
    CONFIG,
    FAMILY_KEY,
    FILE_HASH_KEY,
    FINGERPRINT_KEY,
    SPECIAL_MAP,
    TEMPLATE,
    TEMPLATE_FOLDER,
    TOKENIZER_JSON,
)
from hf_tokenize.special import AddedToken

if TYPE_CHECKING:
    from hf_tokenize.tokenizer import PreTrainedTokenizer

# A name that every version of the peer takes to mean "tokenizer.json and nothing else".
_PLAIN_CLASS: Final = "PreTrainedTokenizerFast"


def tokenizer_files(tokenizer: PreTrainedTokenizer) -> dict[str, bytes]:
    """The files of `tokenizer` by name, ready to be written."""
    files: dict[str, bytes] = dict(tokenizer.settings.source_files)
    text = tokenizer.to_json()
    if text is not None:
        files[TOKENIZER_JSON] = text.encode("utf-8")
    config = _config(tokenizer, has_json=text is not None)
    config[FINGERPRINT_KEY] = tokenizer.fingerprint()
    if text is not None:
        config[FILE_HASH_KEY] = short([files[TOKENIZER_JSON]])
    files[CONFIG] = dump_json(config).encode("utf-8")
    files[SPECIAL_MAP] = dump_json(_special_map(tokenizer)).encode("utf-8")
    for name, template in tokenizer.settings.chat_templates.items():
        file = TEMPLATE if name == "default" else f"{TEMPLATE_FOLDER}/{name}.jinja"
        files[file] = template.encode("utf-8")
    return files


def save_tokenizer(tokenizer: PreTrainedTokenizer, directory: str | Path) -> tuple[Path, ...]:
    """Writes the files, each whole or not at all, `tokenizer_config.json` last; returns their paths."""
    folder = Path(directory)
    files = tokenizer_files(tokenizer)
    ordered = sorted(files, key=lambda name: name == CONFIG)
    for name in ordered:
        atomic_write_bytes(folder / name, files[name])
    return tuple(folder / name for name in ordered)


def push_tokenizer(
    tokenizer: PreTrainedTokenizer, repo_id: str, *, token: str | None, commit_message: str | None
) -> str:
    """Uploads the files of `tokenizer` in one commit; returns its address. Raises PushRefusedError."""
    from hf_hub_io import push_to_hub

    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(tokenizer, folder)
        pushed = push_to_hub(
            folder, repo_id, token=token, commit_message=commit_message or "Upload tokenizer"
        )
    return pushed.url


def _config(tokenizer: PreTrainedTokenizer, *, has_json: bool) -> dict[str, JsonLike]:
    settings = tokenizer.settings
    special = settings.special
    config: dict[str, JsonLike] = dict(settings.extra)
    config |= special.as_map()
    if special.extra:
        config["additional_special_tokens"] = list(special.extra)
    config["added_tokens_decoder"] = {
        str(id): _flags(token) for id, token in tokenizer.added_tokens_decoder.items()
    }
    config["clean_up_tokenization_spaces"] = settings.clean_up_tokenization_spaces
    config["model_input_names"] = list(settings.model_input_names)
    config["model_max_length"] = settings.model_max_length
    config["padding_side"] = settings.padding_side
    config["truncation_side"] = settings.truncation_side
    for key, language in (("src_lang", settings.source_language), ("tgt_lang", settings.target_language)):
        if language is not None:
            config[key] = language
    if settings.split_special_tokens:
        config["split_special_tokens"] = True
    config["tokenizer_class"] = _PLAIN_CLASS if has_json else settings.tokenizer_class or _PLAIN_CLASS
    if has_json and settings.tokenizer_class not in (None, "PreTrainedTokenizer"):
        config[FAMILY_KEY] = settings.tokenizer_class
    return dict(sorted(config.items()))


def _flags(token: AddedToken) -> dict[str, JsonValue]:
    return {
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
        "special": token.special,
    }


def _special_map(tokenizer: PreTrainedTokenizer) -> dict[str, JsonLike]:
    special = tokenizer.settings.special
    found: dict[str, JsonLike] = dict(special.as_map())
    if special.extra:
        found["additional_special_tokens"] = list(special.extra)
    return found


def with_sections(text: str, truncation: JsonValue, padding: JsonValue) -> str:
    """The text of a `tokenizer.json` with its truncation and padding sections back in.

    The engine runs without them; a file that came with them keeps them for those who read it elsewhere.
    """
    if truncation is None and padding is None:
        return text
    document = json.loads(text)
    document["truncation"] = _truncation_section(truncation)
    document["padding"] = _padding_section(padding)
    return json.dumps(document, ensure_ascii=False)


def _truncation_section(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        return None
    return {
        "direction": str(value.get("direction", "right")).capitalize(),
        "max_length": value.get("max_length"),
        "strategy": "".join(word.capitalize() for word in str(value.get("strategy")).split("_")),
        "stride": value.get("stride", 0),
    }


def _padding_section(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        return None
    length = value.get("length")
    kept: Mapping[str, JsonValue] = {
        key: value.get(key) for key in ("pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token")
    }
    return {
        "strategy": "BatchLongest" if length is None else {"Fixed": length},
        "direction": str(value.get("direction", "right")).capitalize(),
        **kept,
    }
