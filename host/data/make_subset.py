"""Make fashion_mnist_subset.npz from Debian's package: `python -m strop.host.data.make_subset`.

The same samples every time: as many of each class, chosen by a fixed seed, in the order of the full set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strop.host.data.fashion_mnist import CLASSES, SUBSET_FILE, load_fashion_mnist

SEED = 0
TRAIN_COUNT, TEST_COUNT = 2000, 1000


def subset_arrays() -> dict[str, NDArray[np.generic]]:
    """Return the subset's arrays: x_* uint8 [count, 28, 28], y_* uint8 [count], classes. Needs the full set."""
    train = load_fashion_mnist("train").take(TRAIN_COUNT, SEED)
    test = load_fashion_mnist("test").take(TEST_COUNT, SEED)
    return {
        "x_train": train.images[:, 0],
        "y_train": train.labels.astype(np.uint8),
        "x_test": test.images[:, 0],
        "y_test": test.labels.astype(np.uint8),
        "classes": np.array(CLASSES),
    }


def main() -> None:
    """Write the file beside this script and say how large it is."""
    np.savez_compressed(SUBSET_FILE, **subset_arrays())  # type: ignore[arg-type]  # numpy's stub mixes up its flag
    print(f"{SUBSET_FILE}: {SUBSET_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
