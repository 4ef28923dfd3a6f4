"""What a build does with the packages that it installed: bytecode where it is used, no file that nobody reads.

Runs inside the build, by the image's own Python and with nothing but its standard library:
`python slimming.py ENVIRONMENT INSTALLED.json KIND MODULE...` imports the modules, compiles what that loaded,
removes what no program reads (tests, sources of extensions, headers, stubs; the parts of packages that are named
below, too), and writes down what is installed, Debian's packages with it.
"""

from __future__ import annotations

import importlib
import json
import py_compile
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

SOURCES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".pxd", ".pyi", ".pyx", ".pxi", ".a", ".lib")
"""What a compiler or a type checker reads."""

UNUSED = {
    "scoring": (
        "onnxruntime/quantization",  # tools that change or convert models
        "onnxruntime/tools",
        "onnxruntime/transformers",
        "onnxruntime/backend",
        "onnxruntime/datasets",
        "numpy/f2py",  # others do: SciPy and what stands on it
        "numpy/_core/lib",
        "numpy/_core/include",
    ),
    "insight": (),
    "jobs": ("kubernetes/aio",),  # the same client once more, for another kind of program
}
"""Parts of packages that no program of an image reads, by its kind."""

DPKG = Path("/var/lib/dpkg/status")


def compile_loaded(environment: Path, modules: list[str]) -> int:
    """Import the modules and compile what that loaded, with bytecode that depends on no file's date.

    Args:
        environment: The virtual environment.
        modules: What the image runs.

    Returns:
        How many files were compiled.
    """
    for name in modules:
        importlib.import_module(name)
    files = {Path(found) for m in list(sys.modules.values()) if (found := getattr(m, "__file__", None))}
    compiled = 0
    for path in sorted(files):
        if path.suffix == ".py" and (path.is_relative_to(environment) or not path.is_relative_to(sys.base_prefix)):
            py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            compiled += 1
    return compiled


def remove_unread(packages: Path, unused: tuple[str, ...]) -> int:
    """Remove what no program reads, and these parts of packages; gives the bytes that this freed."""
    freed = 0
    for folder in [*(packages / name for name in unused), *packages.rglob("tests")]:
        if folder.is_dir():
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder)
    for path in [path for path in packages.rglob("*") if path.suffix in SOURCES and path.is_file()]:
        freed += path.stat().st_size
        path.unlink()
    return freed


def installed() -> Iterator[dict[str, str]]:
    """Every Python distribution and every Debian package, by kind, name and version."""
    for found in sorted(distributions(), key=lambda one: one.metadata["Name"].lower()):
        yield {"kind": "pypi", "name": found.metadata["Name"], "version": found.version}
    if DPKG.is_file():
        for paragraph in DPKG.read_text().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[:40])
            if fields.get("Status", "").endswith(" installed"):
                yield {"kind": "deb", "name": fields["Package"], "version": fields["Version"]}


def main() -> None:
    """Compile, remove and write down, as the command line says."""
    environment, told, kind, *modules = sys.argv[1:]
    (packages,) = Path(environment).glob("lib/python3.*/site-packages")
    compiled = compile_loaded(Path(environment), modules)
    freed = remove_unread(packages, UNUSED[kind])
    Path(told).write_text(json.dumps(list(installed()), indent=1) + "\n")
    sys.stdout.write(f"compiled {compiled} files, freed {freed / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
