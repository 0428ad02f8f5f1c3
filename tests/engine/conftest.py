from collections.abc import Iterator

import pytest

from kneo_grpc.engine import texts


@pytest.fixture(autouse=True, scope="module")
def small_texts() -> Iterator[None]:
    """Texts of random branches soon come to more than they may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "OUTPUT_CHARS_MAX", 20_000)
        yield
