"""The compiled parts, which are optional: without a compiler plain Python does their work.

Everything else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("src/saltus/kernels/c")
STABLE = "0x030B0000"  # one binary for Python 3.11 and later


def extension(name: str, sources: list[Path], depends: list[Path]) -> Extension:
    """One compiled module of the stable ABI."""
    return Extension(
        name,
        sources=sorted(map(str, sources)),
        depends=sorted(map(str, depends)),
        define_macros=[("Py_LIMITED_API", STABLE)],
        extra_compile_args=["-O3", "-g0", "-std=c11"],
        py_limited_api=True,
        optional=True,
    )


setup(
    ext_modules=[
        extension("saltus.kernels._count", list(FOLDER.glob("*.c")), list(FOLDER.glob("*.h"))),
        extension("saltus.readers._scan", [Path("src/saltus/readers/_scan.c")], []),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
