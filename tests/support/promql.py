"""What PromQL expressions read: the metrics and labels of each, held against a table of the known ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
)

TARGET: Final = frozenset({"job", "instance"})
"""The labels that Prometheus adds to each sample."""
SETS: Final = ("and", "or", "unless")
"""Operators whose sides need not have the same labels."""


class UnknownName(Exception):
    """An expression reads a metric or a label that does not exist."""


def labels_of(expression: str, metrics: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the labels of the result; raises `UnknownName`, or `ValueError` for what is no PromQL."""
    return _labels(parse(expression), metrics) or frozenset()


def selected(expression: str) -> Iterator[str]:
    """Yield the names of the metrics that an expression reads."""
    waiting = [parse(expression)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, VectorSelector):
            yield node.name or ""
        waiting += _children(node)


def _children(node: Expr) -> list[Expr]:
    match node:
        case BinaryExpr():
            return [node.lhs, node.rhs]
        case Call():
            return list(node.args)
        case MatrixSelector():
            return [node.vector_selector]
        case AggregateExpr() | ParenExpr() | UnaryExpr() | SubqueryExpr():
            return [node.expr]
        case _:
            return []


def _labels(node: Expr, metrics: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """Return the labels of a vector; None for a scalar."""
    match node:
        case NumberLiteral() | StringLiteral():
            return None
        case VectorSelector():
            return _of_selector(node, metrics)
        case AggregateExpr():
            return _of_aggregation(node, _labels(node.expr, metrics) or frozenset())
        case BinaryExpr():
            return _of_operation(node, _labels(node.lhs, metrics), _labels(node.rhs, metrics))
        case Call():
            return _of_call(node, [_labels(child, metrics) for child in _children(node)])
        case _:
            (child,) = _children(node)
            return _labels(child, metrics)


def _of_selector(node: VectorSelector, metrics: Mapping[str, frozenset[str]]) -> frozenset[str]:
    name = node.name or ""
    if name not in metrics:
        raise UnknownName(f"there is no metric {name!r}")
    labels = metrics[name] | TARGET
    _require({matcher.name for matcher in node.matchers.matchers}, labels, name)
    return labels


def _of_aggregation(node: AggregateExpr, labels: frozenset[str]) -> frozenset[str]:
    if str(node.op) in {"topk", "bottomk"}:
        return labels
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _require(named, labels, node.prettify())
    return named if node.modifier.type == AggModifierType.By else labels - named


def _of_operation(node: BinaryExpr, left: frozenset[str] | None, right: frozenset[str] | None) -> frozenset[str] | None:
    if left is None or right is None:
        return right if left is None else left
    matching = node.modifier.matching if node.modifier else None
    if matching is not None:
        _require(matching.labels, left & right, node.prettify())
    elif left != right and str(node.op) not in SETS:
        raise UnknownName(f"the sides of {node.prettify()} never match: {sorted(left)}, {sorted(right)}")
    return left


def _of_call(node: Call, arguments: list[frozenset[str] | None]) -> frozenset[str] | None:
    vectors = [labels for labels in arguments if labels is not None]
    if not vectors:
        return None
    if node.func.name == "histogram_quantile":
        _require({"le"}, vectors[0], node.prettify())
        return vectors[0] - {"le"}
    return frozenset() if node.func.name == "absent" else vectors[0]


def _require(named: set[str] | frozenset[str] | list[str], labels: frozenset[str], place: str) -> None:
    if unknown := sorted(set(named) - labels):
        raise UnknownName(f"{place} has no label {', '.join(unknown)}, only {', '.join(sorted(labels))}")
