import numpy as np
from numpy.typing import NDArray

def equal(
    outputs: list[str | None],
    targets: list[str | list[str | None] | None],
    rows: NDArray[np.int8],
    /,
) -> None: ...
def count(
    kernel: str,
    mode: int,
    outputs: bytes,
    output_offsets: NDArray[np.int64],
    targets: bytes,
    target_offsets: NDArray[np.int64],
    groups: NDArray[np.int64],
    group: NDArray[np.int64],
    rows: NDArray[np.int64],
    /,
) -> None: ...
