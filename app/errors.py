"""
The four error families. The family decides who reacts; a concrete error lives beside the function raising it.

Rejected     the request is wrong or refused: telling it again changes nothing, never retried
Conflict     the request is right but the state of things does not allow it now
NotFound     there is no such thing, or it is not the caller's
Unavailable  somebody needed does not answer: the only family that is retried
"""

from typing import ClassVar


class UoopError(Exception):
    """
    Something that the platform foresaw.

    A concrete error is a class with a one-line docstring and a stable hyphenated ``code``. What is particular
    to one occurrence is given as keywords and stands in ``data``, ready for a log line or an answer.
    """

    code: ClassVar[str] = "error"

    def __init__(self, **data: object) -> None:
        super().__init__(data)
        self.data = data

    @property
    def title(self) -> str:
        """What is wrong, the same for every occurrence: the docstring's first line."""
        return (type(self).__doc__ or self.code).strip().splitlines()[0]

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.data.items())
        return f"{self.title} ({told})" if told else self.title


class Rejected(UoopError):
    """The request is refused."""

    code = "rejected"


class Conflict(UoopError):
    """The request does not fit the present state."""

    code = "conflict"


class NotFound(UoopError):
    """There is no such thing."""

    code = "not-found"


class Unavailable(UoopError):
    """A part of the platform does not answer now."""

    code = "unavailable"
