"""The sandbox that chat templates run in: jinja without a way out, with limits and `{% generation %}` blocks.

Before a template is compiled, its loops, concatenations and outputs are rewritten to go through the `Budget` of the
rendering, which travels in the template's own variables. So one compiled template serves any number of threads.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context
from jinja2.visitor import NodeTransformer

from hf_tokenize.chat.limits import DEFAULT_LIMITS, Budget

BUDGET: Final = "__budget__"
LOOP: Final = "__loop__"
JOIN: Final = "__join__"
WRITE: Final = "__write__"
OPEN: Final = (
    "\ufdd2"  # around what `{% generation %}` encloses; Unicode reserves these for use inside programs
)
CLOSE: Final = "\ufdd3"


def _call(name: str, arguments: Sequence[nodes.Node], like: nodes.Node) -> nodes.Call:
    function = nodes.Name(name, "load", lineno=like.lineno)
    return nodes.Call(function, list(arguments), [], None, None, lineno=like.lineno)


class _Guard(NodeTransformer):
    """Rewrites what could run or grow without end."""

    def __init__(self) -> None:
        self._collecting = 0

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        items: list[nodes.Node] = [node.iter]
        node.iter = _call(LOOP, items, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call(JOIN, list(node.nodes), node)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        if self._collecting:
            # Text that is collected before it is output: there, fixed text must be counted too.
            node.nodes = [
                _call(WRITE, [nodes.Const(part.data, lineno=part.lineno)], part)
                if isinstance(part, nodes.TemplateData)
                else part
                for part in node.nodes
            ]
        return node

    def _collect(self, node: nodes.Node) -> nodes.Node:
        self._collecting += 1
        self.generic_visit(node)
        self._collecting -= 1
        return node

    visit_Macro = visit_CallBlock = visit_AssignBlock = visit_FilterBlock = _collect


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: what the assistant is to learn, marked in the output."""

    tags = {"generation"}  # noqa: RUF012 - the name and type are jinja's

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body, lineno=line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return f"{OPEN}{caller()}{CLOSE}"


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """The environment of all chat templates; immutable after it was made."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, LoopControlExtension],
            finalize=_count_output,
        )
        for name, function in self.filters.items():
            self.filters[name] = _guard_filter(name, function)
        self.filters["tojson"] = _to_json
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        del self.globals["lipsum"]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Guard().visit(super()._parse(source, name, filename))
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - jinja's own names
        budget = _budget(__context)
        budget.check_call(
            getattr(__obj, "__name__", ""), getattr(__obj, "__self__", None), [*args, *kwargs.values()]
        )
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        pattern = value.__self__

        @functools.wraps(wrapped)
        def guarded(*args: Any, **kwargs: Any) -> str:
            Budget(DEFAULT_LIMITS).check_format(pattern, [*args, *kwargs.values()])
            return wrapped(*args, **kwargs)

        return guarded

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _budget(context).check_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)


def render_variables(budget: Budget) -> dict[str, object]:
    """The variables through which a rendering reaches its budget."""
    return {BUDGET: budget, LOOP: budget.loop, JOIN: budget.join, WRITE: budget.write}


def _budget(context: Context) -> Budget:
    budget = context.get(BUDGET)
    # Constant expressions are folded while compiling, before there is a budget.
    return budget if isinstance(budget, Budget) else Budget(DEFAULT_LIMITS)


@pass_context
def _count_output(context: Context, value: object) -> object:
    _budget(context).write(str(value))
    return value


def _guard_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        limits = Budget(DEFAULT_LIMITS)
        values = [*args, *kwargs.values()]
        limits.check_size(max((v for v in values if isinstance(v, int)), default=0))
        if name in ("replace", "format", "join"):
            own = next((v for v in values if isinstance(v, str)), "")
            limits.check_call(name, own, values[values.index(own) + 1 :] if own in values else values)
        return function(*args, **kwargs)

    return guarded


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Unlike jinja's own filter, this must not escape HTML: the text goes to a model.
    if indent is not None:
        Budget(DEFAULT_LIMITS).check_size(indent * 1000)
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


@functools.lru_cache(maxsize=1)
def environment() -> ChatEnvironment:
    """The one environment there is."""
    return ChatEnvironment()


def with_defaults(variables: Mapping[str, object], budget: Budget) -> dict[str, object]:
    """`variables` with the guards of this rendering, which no variable may replace."""
    return {**variables, **render_variables(budget)}
