"""Cutting what one spec never reaches out of the source: `match` arms, `isinstance` tests, members of unions.

A function that builds any model of a union is left with the arms that this model's spec can take.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from typing import final


@final
class Prune(ast.NodeTransformer):
    """`parts` are all values in the spec at hand; names in `unused` are classes that do not occur."""

    def __init__(self, unused: Collection[str], parts: Iterable[object]) -> None:
        self.unused = frozenset(unused)
        self.changed = False
        self._parts: dict[str, list[object]] = {}
        for part in parts:
            self._parts.setdefault(type(part).__name__, []).append(part)

    def visit_Match(self, node: ast.Match) -> ast.Match:
        kept = [case for case in node.cases if self._possible(case.pattern)]
        self.changed = self.changed or len(kept) < len(node.cases)
        node.cases = kept
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance" and len(node.args) == 2:
            kinds = self._members(node.args[1])
            possible = [kind for kind in kinds if kind not in self.unused]
            if len(possible) < len(kinds):
                self.changed = True
                if not possible:
                    return ast.Constant(False)
                node.args[1] = ast.parse(" | ".join(possible), mode="eval").body
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """A union without the members that do not occur."""
        self.generic_visit(node)
        if isinstance(node.op, ast.BitOr):
            left, right = self._gone(node.left), self._gone(node.right)
            if left or right:
                self.changed = True
                return node.left if right else node.right
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """A union none of whose members occurs is no type."""
        self.generic_visit(node)
        if self._gone(node.value):
            node.value, self.changed = ast.Constant(None), True
        return node

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        match self._known(node.test):
            case True:
                return node.body
            case False:
                return node.orelse or ast.Pass()
            case _:
                return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        known = self._known(node.test)
        return node if known is None else node.body if known else node.orelse

    def _known(self, test: ast.expr) -> bool | None:
        match test:
            case ast.Constant(value=bool(value)):
                return value
            case ast.Name(id="TYPE_CHECKING"):
                self.changed = True
                return False
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._known(operand)
                return None if inner is None else not inner
            case ast.BoolOp(op=ast.And(), values=values) if any(self._known(v) is False for v in values):
                return False
            case _:
                return None

    def _gone(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.unused

    def _members(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp):
            return [*self._members(node.left), *self._members(node.right)]
        return [ast.unparse(node)]

    def _possible(self, pattern: ast.pattern) -> bool:
        match pattern:
            case ast.MatchClass(cls=ast.Name(id=name)) if name in self._parts:
                return any(_fits(part, pattern) for part in self._parts[name])
            case ast.MatchClass(cls=ast.Name(id=name)):
                return name not in self.unused
            case ast.MatchOr(patterns=patterns):
                pattern.patterns = [one for one in patterns if self._possible(one)]
                return bool(pattern.patterns)
            case _:
                return True


def _fits(part: object, pattern: ast.MatchClass) -> bool:
    """Whether a value has the constants that a class pattern asks for."""
    for name, wanted in zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True):
        match wanted:
            case ast.MatchValue(value=ast.Constant(value=constant)) if getattr(part, name) != constant:
                return False
            case ast.MatchSingleton(value=constant) if getattr(part, name) is not constant:
                return False
            case _:
                pass
    return True
