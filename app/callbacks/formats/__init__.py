"""How partners write: a file each, named in the providers file. A new one is a file and its line here."""

from collections.abc import Mapping

from app.callbacks.formats import courier_status, kitchen_codes, uoop
from app.callbacks.model import Format

FORMATS: Mapping[str, Format] = {
    each.name: each for each in (uoop.FORMAT, courier_status.FORMAT, kitchen_codes.FORMAT)
}
