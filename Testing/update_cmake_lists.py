"""Renew the file lists of the modules' CMakeLists.txt from what lies in the folders.

``python Testing/update_cmake_lists.py`` rewrites them; ``--check`` only names what is wrong (exit code 1).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
VARIABLES = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")


def wanted(module: str, repository: Path = REPOSITORY) -> dict[str, list[str]]:
    """Variable -> paths relative to the module's folder: Python files, and everything else that is shipped."""
    folder = repository / module
    folders = [folder / name for name in (f"{module}Lib", f"{module}Panel", "Resources")]
    files = [folder / f"{module}.py", *(file for part in folders for file in part.rglob("*"))]
    kept = sorted(f.relative_to(folder).as_posix() for f in files if f.is_file() and not _is_leftover(f, folder))
    scripts = [name for name in kept if name.endswith(".py")]
    return dict(zip(VARIABLES, (scripts, [name for name in kept if not name.endswith(".py")]), strict=True))


def _is_leftover(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return file.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in parts)


def listed(module: str, repository: Path = REPOSITORY) -> dict[str, list[str]]:
    """Variable -> paths that the module's CMakeLists.txt names now."""
    text = (repository / module / "CMakeLists.txt").read_text(encoding="utf-8")
    names = {}
    for variable in VARIABLES:
        block = re.search(rf"set\({variable}\n(.*?)  \)", text, re.DOTALL).group(1)
        names[variable] = [line.strip().replace("${MODULE_NAME}", module) for line in block.splitlines()]
    return names


def differences(module: str, repository: Path = REPOSITORY) -> list[str]:
    """One line per file that is forgotten or named in vain."""
    have, want = listed(module, repository), wanted(module, repository)
    lines = []
    for variable in VARIABLES:
        forgotten = [n for n in want[variable] if n not in have[variable]]
        in_vain = [n for n in have[variable] if n not in want[variable]]
        lines += [f"{module}/CMakeLists.txt: add {name} to {variable}" for name in forgotten]
        lines += [f"{module}/CMakeLists.txt: remove {name} from {variable}" for name in in_vain]
    return lines


def rewrite(module: str, repository: Path = REPOSITORY) -> None:
    path = repository / module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for variable, names in wanted(module, repository).items():
        block = "".join(f"  {name}\n" for name in names)
        text = re.sub(rf"(set\({variable}\n).*?(  \))", lambda m, b=block: m[1] + b + m[2], text, flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        lines = [line for module in MODULES for line in differences(module)]
        print("\n".join(lines))
        return 1 if lines else 0
    for module in MODULES:
        rewrite(module)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
