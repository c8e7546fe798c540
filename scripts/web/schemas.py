"""The models of the JSON API that are not documents of `store.documents`: request bodies and problems."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, with_config
from typing_extensions import is_typeddict  # typing's own does not know the one of Python 3.11's documents

from store import documents

for _document in filter(is_typeddict, list(vars(documents).values())):
    # The docstrings of fields are their descriptions in OpenAPI.
    with_config(ConfigDict(use_attribute_docstrings=True))(_document)


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
