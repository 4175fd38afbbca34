"""Command lines and configuration files for dataclasses: one flag per field, types and choices from its annotation.

```python
parser = HfArgumentParser((ModelArguments, TrainingArguments))
model_args, training_args = parser.parse_args_into_dataclasses()
```
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import tomllib
import types
import typing
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, final, get_args, get_origin, get_type_hints

from hf_config.errors import suggest
from hf_hub_io import JsonValue, parse_json, read_json_object
from hf_hub_io.errors import HfError, MissingPackageError

TRUE = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE = frozenset({"false", "f", "no", "n", "0", "off"})
_MISSING = dataclasses.MISSING


class ParserError(HfError, ValueError):
    """A dataclass no flags can be made for, or values that fit no field."""


def HfArg(
    *,
    aliases: str | Sequence[str] = (),
    help: str | None = None,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | Any = _MISSING,
) -> Any:
    """A dataclass field with other names for its flag, such as `-m`, and a help text."""
    metadata: dict[str, object] = {}
    if aliases:
        metadata["aliases"] = [aliases] if isinstance(aliases, str) else list(aliases)
    if help is not None:
        metadata["help"] = help
    if default_factory is not _MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@final
class HfArgumentParser(ArgumentParser):
    """An `argparse` parser whose flags are the fields of dataclasses.

    A field `max_steps` is `--max_steps` and `--max-steps`. A bool is a flag that may have a value; if it is True by
    default there is also `--no_...`. Literals and enums are choices, sequences take several values, mappings take
    JSON. A dataclass may say `_argument_group_name`, the heading of its flags in the help text.

    Args:
        dataclass_types: one dataclass, or several, whose fields must not share names.
    """

    def __init__(
        self,
        dataclass_types: type[Any] | Iterable[type[Any]],
        *,
        prog: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        self.dataclass_types: tuple[type[Any], ...] = (
            (dataclass_types,) if isinstance(dataclass_types, type) else tuple(dataclass_types)
        )
        for dataclass_type in self.dataclass_types:
            if not dataclasses.is_dataclass(dataclass_type):
                raise ParserError(
                    f"{dataclass_type.__name__} is not a dataclass", fix="decorate it with @dataclass"
                )
        names = [
            field.name for kind in self.dataclass_types for field in dataclasses.fields(kind) if field.init
        ]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ParserError(f"two dataclasses have the field {', '.join(twice)}", fix="rename one of them")
        for dataclass_type in self.dataclass_types:
            self._add_flags(dataclass_type)

    def parse_args_into_dataclasses(
        self,
        args: Sequence[str] | None = None,
        return_remaining_strings: bool = False,
        look_for_args_file: bool = True,
        args_filename: str | Path | None = None,
        args_file_flag: str | None = None,
    ) -> tuple[Any, ...]:
        """An instance of each dataclass, from command-line arguments, by default those of the program.

        Args:
            return_remaining_strings: give the arguments nobody knows as a last element, instead of refusing them.
            look_for_args_file: read arguments from `script.args` beside the program, if there is such a file.
            args_filename: a file of arguments; what stands on the command line wins over it.
            args_file_flag: a flag whose values are such files.
        """
        given = list(sys.argv[1:] if args is None else args)
        files = [Path(args_filename)] if args_filename is not None else []
        if args_filename is None and look_for_args_file and sys.argv and sys.argv[0]:
            beside = Path(sys.argv[0]).with_suffix(".args")
            files = [beside] if beside.is_file() else []
        if args_file_flag is not None:
            flags = ArgumentParser(add_help=False, allow_abbrev=False)
            flags.add_argument(args_file_flag, dest="files", action="append", default=[])
            found, given = flags.parse_known_args(given)
            files += [Path(name) for name in found.files]
        from_files = [word for file in files for word in shlex.split(file.read_text("utf-8"), comments=True)]
        namespace, rest = self.parse_known_args([*from_files, *given])
        made = self._instances(namespace)
        if return_remaining_strings:
            return (*made, rest)
        if rest:
            flags_known = [flag for action in self._actions for flag in action.option_strings]
            unknown = ", ".join(f"{word}{suggest(word, flags_known)}" for word in rest)
            raise ParserError(f"no field takes: {unknown}", fix="see --help")
        return made

    def parse_dict(self, args: Mapping[str, Any], allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """An instance of each dataclass from values by name. Raises ParserError for names nobody knows."""
        left = set(args)
        made = []
        for dataclass_type in self.dataclass_types:
            names = {field.name for field in dataclasses.fields(dataclass_type) if field.init}
            made.append(dataclass_type(**{name: value for name, value in args.items() if name in names}))
            left -= names
        if left and not allow_extra_keys:
            known = [field.name for kind in self.dataclass_types for field in dataclasses.fields(kind)]
            unknown = ", ".join(f"{name!r}{suggest(name, known)}" for name in sorted(left))
            raise ParserError(
                f"no field is called {unknown}", fix="take it out, or pass allow_extra_keys=True"
            )
        return tuple(made)

    def parse_json_file(self, json_file: str | Path, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """`parse_dict` of a JSON file."""
        return self.parse_dict(read_json_object(Path(json_file)), allow_extra_keys)

    def parse_yaml_file(self, yaml_file: str | Path, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """`parse_dict` of a YAML file."""
        return self.parse_dict(read_mapping(yaml_file), allow_extra_keys)

    def parse_toml_file(self, toml_file: str | Path, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """`parse_dict` of a TOML file."""
        return self.parse_dict(read_mapping(toml_file), allow_extra_keys)

    def _instances(self, namespace: Namespace) -> tuple[Any, ...]:
        values = vars(namespace)
        return tuple(
            kind(
                **{
                    field.name: values[field.name]
                    for field in dataclasses.fields(kind)
                    if field.name in values
                }
            )
            for kind in self.dataclass_types
        )

    def _add_flags(self, dataclass_type: type[Any]) -> None:
        heading = getattr(dataclass_type, "_argument_group_name", None)
        target = self.add_argument_group(heading) if heading else self
        try:
            hints = get_type_hints(dataclass_type)
        except NameError as error:
            raise ParserError(
                f"the annotations of {dataclass_type.__name__} cannot be resolved: {error}",
                fix="define the dataclass at the top of a module, with its types imported there",
            ) from error
        for field in dataclasses.fields(dataclass_type):
            if field.init:
                self._add_flag(target, field, hints[field.name])

    def _add_flag(self, target: Any, field: dataclasses.Field[Any], hint: Any) -> None:
        kinds = _alternatives(hint)
        settings: dict[str, Any] = {"help": str(field.metadata.get("help", "")).replace("%", "%%") or None}
        settings["dest"] = field.name
        if field.default is not _MISSING:
            settings["default"] = field.default
        elif field.default_factory is not _MISSING:
            settings["default"] = field.default_factory()
        else:
            settings["required"] = True
        many = next((kind for kind in kinds if _is_sequence(kind)), None)
        if many is not None:
            settings["nargs"] = "+"
            inner = (get_args(many) or (str,))[0]
            settings["type"] = _reader(field.name, _alternatives(inner))
            if str in kinds:
                settings["action"] = _OneOrMany
        else:
            settings["type"] = _reader(field.name, kinds)
            if bool in kinds:
                settings |= {"nargs": "?", "const": True}
        names = [f"--{field.name}", f"--{field.name.replace('_', '-')}", *field.metadata.get("aliases", ())]
        target.add_argument(*dict.fromkeys(names), **settings)
        if bool in kinds and field.default is True:
            opposite = dict.fromkeys((f"--no_{field.name}", f"--no-{field.name.replace('_', '-')}"))
            target.add_argument(*opposite, action="store_false", dest=field.name, default=True, help=None)


class _OneOrMany(Action):
    """Stores a single value by itself and several as a list."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, list), "nargs is +"
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping that a JSON, YAML or TOML file holds, by its suffix.

    Raises:
        ParserError: it holds something else, or cannot be read as what its suffix says.
    """
    path = Path(path)
    if path.suffix == ".json":
        return dict(read_json_object(path))
    text = path.read_text("utf-8")
    try:
        values: object = tomllib.loads(text) if path.suffix == ".toml" else _load_yaml(text)
    except ValueError as error:
        raise ParserError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ParserError(f"{path} holds a {type(values).__name__}, expected names with values")
    return values


def _load_yaml(text: str) -> object:
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise MissingPackageError("pyyaml", "a YAML configuration") from error
    try:
        loaded: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return loaded


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """What a value may be, without None."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for part in get_args(hint) for kind in _alternatives(part))
    if get_origin(hint) is typing.Annotated:
        return _alternatives(get_args(hint)[0])
    return () if hint is type(None) else (hint,)


def _is_sequence(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Sequence) and not issubclass(origin, str | bytes)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _reader(name: str, kinds: tuple[Any, ...]) -> Callable[[str], Any]:
    """Turns a text into a value of the first kind that it fits."""
    choices = {
        str(value.value if isinstance(value, Enum) else value): value
        for kind in kinds
        for value in (get_args(kind) if get_origin(kind) is Literal else kind if _is_enum(kind) else ())
    }

    def read(text: str) -> Any:
        if text in choices:
            return choices[text]
        if bool in kinds and text.lower() in TRUE | FALSE:
            return text.lower() in TRUE
        if any(map(_is_mapping, kinds)) and text.lstrip().startswith("{"):
            return _json(text, name)
        for kind in kinds:
            if kind is not bool and not _is_mapping(kind) and isinstance(kind, type) and not _is_enum(kind):
                try:
                    return kind(text)
                except (TypeError, ValueError):
                    continue
        raise ArgumentTypeError(f"{text!r} is not {_described(kinds, choices)}")

    return read


def _json(text: str, name: str) -> JsonValue:
    try:
        return parse_json(text, source=f"--{name}")
    except HfError as error:
        raise ArgumentTypeError(error.what) from error


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _described(kinds: tuple[Any, ...], choices: Mapping[str, Any]) -> str:
    parts = [f"one of {', '.join(choices)}"] if choices else []
    parts += ["true or false"] if bool in kinds else []
    parts += ["a JSON object"] if any(map(_is_mapping, kinds)) else []
    names = {int: "a whole number", float: "a number", Path: "a path", str: "a text"}
    parts += [names[kind] for kind in kinds if kind in names]
    return " or ".join(parts) or "a value of this field"
