"""
The parts of the bench, a module each. A part has a title and two functions, and its name stands in `PARTS`:

    TITLE: str
    def measure(scale: float) -> dict[str, Any]
        What is kept in latest.json. With a scale of 1 it takes its full time, with less it is a trial.
    def tell(found: dict[str, Any], others: Mapping[str, Any]) -> Section
        Its section of docs/performance.md, from what it has found; what the other parts have found, by their names.

docs/scaling.md and docs/tuning.md take figures from it too (`benchmarks.blocks`). `found["broken"]`, if there is any,
says what did not hold: the bench fails then, with everything kept.
What a part starts, it ends; `benchmarks.ground.platform` gives it a platform of its own.
"""

PARTS = (
    *("accept", "end_to_end", "load_curve", "overload", "poll", "batch"),
    *("relay", "holds", "solve", "idle", "peers"),
)
ALONE = ("door", "soak", "knobs")  # only when named
