"""Importing the user's own code by the name that the user gives: a file, or a module.

A file is loaded under a name of its own, which depends on its path and text, so that two files of the same name, or two
versions of one, are two modules. While it is loaded, the files beside it can be imported, as in a script; those that
its functions import later are imported then too. Python knows one module of a name: a file that imports `helper` is
refused where another `helper` is there already. A module is imported as any other, by Python's own rules; the current
folder can be imported from, from then on.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from jaxgen.spelling import close

_SHA = "__jaxgen_sha256__"
"""Name in a module of the digest of the text that it was loaded from."""

_PRIVATE = "_experiment_"
"""Beginning of the names of modules that are files."""


def module_of(name: str) -> ModuleType:
    """The module that the user names, whose code is run.

    Args:
        name: Path of a file that ends in .py, or name of a module.

    Raises:
        FileNotFoundError: There is no such file or module; the message has the nearest names.
        ValueError: Its code raises an error, or imports a file beside it whose name is taken.
    """
    return _file(Path(name)) if is_file(name) else _module(name)


def is_file(name: str) -> bool:
    """Whether a word names a file rather than a module: it ends in .py, or has a / in it."""
    return name.endswith(".py") or "/" in name or "\\" in name


def is_module(name: str) -> bool:
    """Whether a word names a module that is there, outside jaxgen and Python's own; nothing is imported."""
    if not name.isidentifier() or name in sys.stdlib_module_names or name == "jaxgen":
        return False
    with _findable(Path.cwd()):
        return importlib.util.find_spec(name) is not None


def origin(module: ModuleType) -> tuple[str, str | None]:
    """The file of a module that was loaded from one or is a script, the name of another; and the SHA-256 of its text.

    Args:
        module: Any module.

    Returns:
        The absolute path or the name, and 64 hexadecimal digits; None for a notebook, which has no text.
    """
    text = getattr(module, "__file__", None)
    path = Path(text) if text and Path(text).is_file() else None
    alone = path is not None and (module.__name__ == "__main__" or module.__name__.startswith(_PRIVATE))
    name = str(path.resolve()) if path is not None and alone else module.__name__
    return name, getattr(module, _SHA, None) or (None if path is None else _sha256(path.read_bytes()))


def place_of(error: BaseException) -> str:
    """The last line of an experiment outside jaxgen, or of what it imports, that an error went through; "" if none.

    Args:
        error: Exception that was raised.

    Returns:
        As in " (my_experiment.py, line 12)".
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    return _line(error) if any(_SHA in frame.f_globals for frame, _ in frames) else ""


def _file(path: Path) -> ModuleType:
    if path.suffix != ".py":
        raise ValueError(f"the file of an experiment must end in .py, got {str(path)!r}")
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        there = close(path.name, [other.name for other in path.parent.glob("*.py")])
        meant = f"; did you mean {path.parent / there[0]}?" if there else ""
        raise FileNotFoundError(f"there is no file {path}{meant}") from None
    path, sha256 = path.resolve(), _sha256(text)
    name = f"{_PRIVATE}{_sha256(f'{path} {sha256}'.encode())[:32]}"
    if name in sys.modules:
        return sys.modules[name]
    with _running(str(path)):
        code = compile(text, str(path), "exec")
        siblings = _siblings(path, ast.parse(text))
    for sibling in siblings:
        _require_its_own(sibling, path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)  # pyright: ignore[reportArgumentType]
    setattr(module, _SHA, sha256)
    sys.modules[name] = module  # where dataclasses and annotations look their module up
    try:
        with _running(str(path)), _findable(path.parent):
            exec(code, vars(module))
            for sibling in siblings:
                importlib.import_module(sibling)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str) -> ModuleType:
    if name.partition(".")[0] == "jaxgen":
        raise ValueError(f"the module of an experiment must lie outside jaxgen, got {name!r}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"an experiment must be a file that ends in .py or the name of a module, got {name!r}")
    here = str(Path.cwd())
    sys.path.extend([here] if here not in sys.path else [])  # also for what its functions import
    with _findable(Path.cwd()), _running(name):
        try:
            module = importlib.import_module(name)
            if _SHA not in vars(module) and (text := getattr(module, "__file__", None)):
                setattr(module, _SHA, _sha256(Path(text).read_bytes()))
            return module
        except ModuleNotFoundError as error:
            # It is missing, or a package that it lies in: not what its own code imports.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            missing = error.name
    raise FileNotFoundError(f"there is no module {missing!r}{_near(missing)}")


def _near(name: str) -> str:
    """The modules beside one that is missing that its name may have been meant for."""
    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", ()) if parent else [str(Path.cwd())]
    files = [path for folder in folders for path in Path(folder).glob("*")]
    there = [path.stem for path in files if path.suffix == ".py" or (path / "__init__.py").exists()]
    meant = [f"{parent}.{word}" if parent else word for word in close(last, there)]
    return f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""


@contextlib.contextmanager
def _findable(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported, as those beside a script."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


@contextlib.contextmanager
def _running(name: str) -> Iterator[None]:
    """Say errors of the user's code in one line: what raised them, and where."""
    try:
        yield
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"{name} cannot be imported: {said}{_line(error)}") from error


def _line(error: BaseException) -> str:
    """The last line of the user's own that an error went through."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    others = ("<frozen", "site-packages", str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
    own = [(file, line) for file, line in frames if not any(other in file for other in others)]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def _siblings(path: Path, tree: ast.AST) -> list[str]:
    """Names of the modules beside a file that it imports anywhere, and that these import."""
    found: dict[str, None] = {}
    waiting = [tree]
    while waiting:
        for node in ast.walk(waiting.pop()):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                top = path.parent / name.partition(".")[0]
                file = top.with_suffix(".py")
                if name in found or file == path or not (file.is_file() or (top / "__init__.py").is_file()):
                    continue
                found[name] = None
                waiting += [ast.parse(file.read_bytes())] if file.is_file() else []
    return list(found)


def _require_its_own(name: str, path: Path) -> None:
    top = name.partition(".")[0]
    there = getattr(sys.modules.get(top), "__file__", None)
    if there is None or top == "jaxgen" or top in sys.stdlib_module_names:
        return
    if Path(there).resolve() not in {path.parent / f"{top}.py", path.parent / top / "__init__.py"}:
        raise ValueError(
            f"{path} imports {top!r} beside it, and this process has that name from {there}; give one another name"
        )


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
