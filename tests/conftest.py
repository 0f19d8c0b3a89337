"""Settings of every test run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# the machine may be busy; whether code is fast is measured in benchmarks/
settings.register_profile("saltus", deadline=None)
settings.load_profile("saltus")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of whoever runs it."""
    folder: Path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALTUS_CACHE", str(folder))
        yield
