"""Mutants: modules with one small mistake each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

_SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
_UNTOUCHED = ("annotation", "returns", "decorator_list", "type_params", "bases")
"""What says nothing about what a program computes."""


class Mutant(NamedTuple):
    """A change to a module: the line that it is on, the node (in order of `_walk`), and which of the node's changes."""

    line: int
    node: int
    change: int


class Mutated(NamedTuple):
    """A module with its mistake: the expression before and after, and the whole source."""

    before: str
    after: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in an order that follows from its source.

    Comparisons get their boundary moved or are turned round, arithmetic and boolean operators are swapped, numbers
    become one more and one less, True and False each other, `not` and `~` go, and a computed value that is returned
    becomes None. Annotations, decorators and base classes stay.
    """
    for position, node in enumerate(_walk(ast.parse(source))):
        for change, _ in enumerate(_changes(node)):
            yield Mutant(node.lineno, position, change)


def mutate(source: str, mutant: Mutant) -> Mutated:
    """The module with that mutant's mistake, as Python writes it down; comments are gone."""
    tree = ast.parse(source)
    node: Any = next(islice(_walk(tree), mutant.node, None))
    before = ast.unparse(node)
    setattr(node, *next(islice(_changes(node), mutant.change, None)))
    return Mutated(before, ast.unparse(node), ast.unparse(tree))


def _changes(node: Any) -> Iterator[tuple[str, Any]]:
    """Fields of a node with the values that make a mutant of it."""
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                for other in _SWAPPED[type(op)]:
                    yield "ops", [*ops[:i], other(), *ops[i + 1 :]]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op):
            yield from (("op", other()) for other in _SWAPPED.get(type(op), ()))
        case ast.UnaryOp(op=ast.Not() | ast.Invert() as op, operand=operand):
            yield "operand", ast.UnaryOp(op, operand)
        case ast.Constant(value=bool(value)):
            yield "value", not value
        case ast.Constant(value=int(value) | float(value)):
            yield from (("value", value + 1), ("value", value - 1))
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "value", ast.Constant(None)


def _walk(node: ast.AST) -> Iterator[Any]:
    yield node
    for field, value in ast.iter_fields(node):
        if field not in _UNTOUCHED:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)
