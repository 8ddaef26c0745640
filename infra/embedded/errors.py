"""What can keep an embedded server from starting."""

from app import errors


class CannotEmbed(errors.Unavailable):
    """An embedded server cannot run here."""

    code = "cannot-embed"

    def __init__(self, *, problem: str, remedy: str) -> None:
        super().__init__(problem=problem, remedy=remedy)

    def __str__(self) -> str:
        return f"{self.data['problem']}: {self.data['remedy']}"
