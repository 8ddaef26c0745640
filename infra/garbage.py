"""
The garbage collector of a process that lives long and makes many small objects at a time.

A cohort of hundreds makes tens of thousands of objects, nearly all of which die by their reference counts. Looking for
cycles after every 700, and now and then through everything that was ever loaded, costs more than it finds.
"""

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 20


def settle() -> None:
    """Call once all is loaded: what lives until the end is not looked at again, the rest is looked at less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
