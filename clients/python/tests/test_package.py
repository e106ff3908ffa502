import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import privyseal

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("library", ["httpx", "httpx2", "aiohttp", "requests"])
def test_a_door_without_its_library(library: str) -> None:
    """Says what to install; the rest works without any of them."""
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "import privyseal\n"
        f"try:\n  import privyseal.{library}\nexcept ImportError as error:\n  print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert f"this needs {library}: pip install 'privyseal[{library}]'\n" == done.stdout


def test_the_package_says_its_version_once() -> None:
    """In the code as in the manifest."""
    manifest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert privyseal.__version__ == manifest["version"]


def test_what_is_public_is_documented() -> None:
    """Each name, and each of its methods."""
    modules = [privyseal] + [
        importlib.import_module(f"privyseal.{name}")
        for name in ("httpx", "httpx2", "aiohttp", "requests")
    ]
    for module in modules:
        for name in module.__all__:
            found = getattr(module, name)
            assert isinstance(found, str) or found.__doc__, name
            for attribute, value in vars(found).items() if isinstance(found, type) else ():
                if callable(value) and not attribute.startswith("_"):
                    assert value.__doc__, f"{name}.{attribute}"


def test_the_readme_is_python() -> None:
    """Its first code is the example, and all of it can be parsed."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert blocks[0] in (ROOT / "examples" / "readme.py").read_text()
    for block in blocks:
        compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
