# SPDX-License-Identifier: Apache-2.0
"""Builds the package `vizbpf`: one abi3 extension for CPython 3.8 and later."""
import atexit
import glob
import os
import shutil
import tempfile

from setuptools import Extension, setup

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:
        bdist_wheel = None

commands = {}
if bdist_wheel is not None:

    class StableWheel(bdist_wheel):
        """Tags the wheel cp38-abi3, whichever interpreter builds it."""

        def finalize_options(self):
            super().finalize_options()
            self.py_limited_api = "cp38"

    commands["bdist_wheel"] = StableWheel

os.chdir(os.path.dirname(os.path.abspath(__file__)))
# Nothing is written into the source folder: it may be read-only, or belong to somebody else.
scratch = tempfile.mkdtemp(prefix="vizbpf-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)

setup(
    name="vizbpf",
    version="0.1.0",
    description="Custom events and an in-process recorder for the vizbpf tracer",
    license="Apache-2.0",
    python_requires=">=3.8",
    packages=["vizbpf"],
    package_data={"vizbpf": ["include/vizbpf.h", "py.typed"]},
    ext_modules=[
        Extension(
            "vizbpf._native",
            sources=sorted(glob.glob("src/*.c")),
            depends=sorted(glob.glob("src/*.h")) + ["vizbpf/include/vizbpf.h"],
            include_dirs=["src", "vizbpf/include"],
            define_macros=[("Py_LIMITED_API", "0x03080000"), ("_GNU_SOURCE", None)],
            extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ],
    entry_points={"pytest11": ["vizbpf = vizbpf.pytest_plugin"]},
    cmdclass=commands,
    options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    zip_safe=False,
)
