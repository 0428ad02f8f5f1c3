"""The garbage collector of a process that serves for long."""

import gc

_YOUNG = 20_000


def calm_collector() -> None:
    """Set aside what the start made, which lives as long as the process, and look less often.

    Else each look walks all modules and descriptors again, many times a second under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
