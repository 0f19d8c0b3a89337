"""The compiled part, which is optional: without a compiler the plain Python version does the work.

Everything else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("src/saltus/kernels/c")
STABLE = "0x030B0000"  # one binary for Python 3.11 and later

setup(
    ext_modules=[
        Extension(
            "saltus.kernels._count",
            sources=sorted(map(str, FOLDER.glob("*.c"))),
            depends=sorted(map(str, FOLDER.glob("*.h"))),
            define_macros=[("Py_LIMITED_API", STABLE)],
            extra_compile_args=["-O3", "-g0", "-std=c11"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
