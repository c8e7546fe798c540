"""The models of the JSON API that are not documents of `store.documents`: request bodies and problems."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, with_config
from typing_extensions import is_typeddict  # typing's own does not know the one of Python 3.11's documents

from store import documents


@functools.cache
def _docstrings() -> dict[str, dict[str, str]]:
    """Return the docstrings of the fields of all documents, by the document's name and the field's.

    pydantic's own search (`use_attribute_docstrings`) comes at the first request already, and before Python 3.13 parses
    the module for each document: that took more than a second.
    """
    found: dict[str, dict[str, str]] = {}
    for document in ast.parse(inspect.getsource(documents)).body:
        if isinstance(document, ast.ClassDef):
            fields = found[document.name] = {}
            for field, text in itertools.pairwise(document.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(docstring))),
                    ):
                        fields[name] = inspect.cleandoc(docstring)
    return found


def _describe_fields(schema: dict[str, Any], document: type) -> None:
    """Give the fields of a document in OpenAPI their docstrings as descriptions."""
    for name, text in _docstrings()[document.__name__].items():
        schema["properties"][name]["description"] = text


for _document in filter(is_typeddict, list(vars(documents).values())):
    with_config(ConfigDict(json_schema_extra=_describe_fields))(_document)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Candidate(BaseModel):
    """An account that may be meant."""

    account: str
    label: str
    name: str | None
    email: str | None


class AccountProblem(Problem):
    """The prefix does not match one account. `candidates` are those that it matches, or all if it matches none."""

    candidates: list[Candidate] = []


class AccountChange(BaseModel):
    """The change of an account: its new name, or null to remove the name."""

    model_config = {"extra": "forbid"}

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None
