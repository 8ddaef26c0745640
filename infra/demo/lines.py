"""Orders from a file of JSON lines: documents as they are submitted."""

from collections.abc import Iterable

from app.orders import document
from app.orders.document import InvalidOrder
from infra.demo.city import Order
from infra.demo.rejects import Reject


def parse(name: str, lines: Iterable[bytes]) -> tuple[list[Order], list[Reject]]:
    """
    Read every line; empty ones are passed over.

    :param name: of the file, for labels and rejects
    """
    orders, rejects = [], []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line:
            continue
        try:
            document.decode(line)
        except InvalidOrder as error:
            fault = error.faults[0]
            where = f"{fault.pointer} " if fault.pointer else ""
            shown = line.decode(errors="backslashreplace")
            rejects.append(Reject(name, number, f"{where}{fault.message}", shown))
        else:
            orders.append(Order(f"{name}:{number}", line))
    return orders, rejects
