"""Memory that tensors are read into, used again once no tensor lies in it: fresh pages cost more than the reading."""

import sys

_KEPT = 2
# The list's, and that of the call which counts.
_REFERENCES_OF_A_FREE_ONE = 2


class Buffers:
    """Lends memory; what is lent comes back by itself when nothing refers to it any more."""

    def __init__(self) -> None:
        self._kept: list[bytearray] = []

    def lend(self, nbytes: int) -> memoryview:
        """Memory of `nbytes`, whose content is undefined; whoever holds it, or a tensor over it, has it alone."""
        free = [i for i in range(len(self._kept)) if sys.getrefcount(self._kept[i]) == _REFERENCES_OF_A_FREE_ONE]
        fitting = [i for i in free if len(self._kept[i]) >= nbytes]
        if fitting:
            return memoryview(self._kept[min(fitting, key=lambda i: len(self._kept[i]))])[:nbytes]
        # Too small for what is read now, so likely for what comes; those still lent live on by themselves.
        self._kept = [buffer for i, buffer in enumerate(self._kept) if i not in free][-(_KEPT - 1) :]
        self._kept.append(bytearray(nbytes))
        return memoryview(self._kept[-1])
