"""Writes the reference pages of the documentation: commands, HTTP routes, Python names.

python docs/make_reference.py            # writes docs/reference/*.md
python docs/make_reference.py --check    # exit code 1 where a page is not up to date
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "reference"
_MADE = "<!-- Made by docs/make_reference.py. -->\n"


def main() -> int:
    stale = []
    for name, make in pages().items():
        path, text = FOLDER / name, make()
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run: python docs/make_reference.py", file=sys.stderr)
    return 1 if stale else 0


def pages() -> dict[str, Callable[[], str]]:
    """What makes each page."""
    return {"cli.md": commands_page, "http.md": routes_page, "python.md": names_page}


def commands() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command, groups before what is in them, with its help."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        command = waiting.pop(0)
        text = _help(command)
        yield command, text
        _, _, listed = text.partition("\nCommands:\n")
        waiting = [(*command, name) for name in re.findall(r"^  ([\w-]+)", listed, re.M)] + waiting


def _help(command: tuple[str, ...]) -> str:
    line = [str(Path(sys.executable).with_name("vidrag")), *command, "--help"]
    plain = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(line, capture_output=True, text=True, check=True, env=plain).stdout.strip()


def commands_page() -> str:
    parts = ["# Commands\n", _MADE, "What `vidrag COMMAND --help` prints.\n"]
    for command, text in commands():
        if command:
            parts.append(f"{'#' * (len(command) + 1)} vidrag {' '.join(command)}\n")
        parts.append(f"```text\n{text}\n```\n")
    return "\n".join(parts)


def routes_page() -> str:
    told = _schema()
    parts = ["# HTTP routes\n", _MADE, "What `/openapi.json` says. [HTTP API](../http.md) says how to use them.\n"]
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            parts.append(f"## {method.upper()} {path}\n")
            parts.append(f"{_plain(one.get('description') or one.get('summary', ''))}\n")
            parts += _parameters(one)
            parts += _body(one)
            parts += _replies(one)
    parts.append("## Objects\n")
    for name, shape in sorted(told.get("components", {}).get("schemas", {}).items()):
        parts.append(f"### {name}\n")
        if shape.get("description"):
            parts.append(f"{_plain(shape['description'])}\n")
        parts += _fields(shape)
    return "\n".join(parts)


def _schema() -> dict[str, Any]:
    """What ``/openapi.json`` of a server says."""
    from vidrag.jobs.library import Library
    from vidrag.jobs.serve.app import ServeOptions, make_api
    from vidrag.jobs.serve.security import Access
    from vidrag.store.archive.archive import Archive

    with tempfile.TemporaryDirectory() as folder:
        Archive.create(folder)
        options = ServeOptions(access=Access(frozenset()), address="http://127.0.0.1:8477")
        return make_api(Library(folder), options).openapi()


def _parameters(route: Mapping[str, Any]) -> list[str]:
    given = route.get("parameters", [])
    if not given:
        return []
    rows = ["| parameter | in | type | |", "|---|---|---|---|"]
    for one in given:
        told = _cell(one.get("description", ""))
        needed = "needed" if one.get("required") else _default(one["schema"])
        rows.append(
            f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {'; '.join(filter(None, (needed, told)))} |"
        )
    return ["\n".join(rows) + "\n"]


def _body(route: Mapping[str, Any]) -> list[str]:
    content = route.get("requestBody", {}).get("content", {})
    told = [f"{_type(c.get('schema', {}))} (`{kind}`)" for kind, c in content.items()]
    return [f"Body: {', '.join(told)}\n"] if told else []


def _replies(route: Mapping[str, Any]) -> list[str]:
    told = []
    for status, reply in route.get("responses", {}).items():
        content = reply.get("content", {})
        kinds = ", ".join(f"{_type(c.get('schema', {}))} (`{kind}`)" for kind, c in content.items())
        if status != "422":
            told.append(f"{status}: {kinds or reply.get('description', '')}")
    return [f"Replies: {'; '.join(told)}\n"] if told else []


def _fields(shape: Mapping[str, Any]) -> list[str]:
    given = shape.get("properties", {})
    if not given:
        return []
    rows = ["| field | type | |", "|---|---|---|"]
    for name, one in given.items():
        rows.append(f"| `{name}` | {_type(one)} | {_cell(one.get('description', ''))} |")
    return ["\n".join(rows) + "\n"]


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(s) for s in schema[key])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{v}`" for v in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [f"{sign} {schema[k]}" for k, sign in (("minimum", "from"), ("maximum", "to")) if k in schema]
    return " ".join([str(schema.get("type", "any")), *bounds])


def _default(schema: Mapping[str, Any]) -> str:
    return f"default `{schema['default']}`" if schema.get("default") not in (None, "", []) else ""


def _cell(text: str) -> str:
    return " ".join(_plain(text).replace("|", "\\|").split())


def _plain(text: str) -> str:
    """A docstring without the marks of reStructuredText."""
    text = re.sub(r":\w+:`[~.][\w.]*?(\w+)`", r"`\1`", text)
    return re.sub(r":\w+:`([\w.]+)`", r"`\1`", text).replace("``", "`")


def names_page() -> str:
    import vidrag
    from vidrag.jobs import api

    parts = ["# Python names\n", _MADE, f"{_plain(inspect.getdoc(vidrag) or '')}\n"]
    named = [(n, getattr(api if n == "ingest" else vidrag, n)) for n in sorted(vidrag.__all__) if n != "__version__"]
    for name, one in named:
        if not inspect.isclass(one):
            parts += _callable("##", f"vidrag.{name}", one)
    for name, one in named:
        if inspect.isclass(one) and not issubclass(one, Exception):
            parts += _class(f"vidrag.{name}", one)
    parts.append("## Errors\n\n| error | is a | exit code of the command |\n|---|---|---|")
    for name, one in named:
        if inspect.isclass(one) and issubclass(one, Exception):
            parts.append(f"| `vidrag.{name}` | `{one.__mro__[1].__name__}` | {one.exit_code} |")
    return "\n".join(parts) + "\n"


def _class(name: str, one: type) -> list[str]:
    parts = [f"## {name}\n", f"{_plain(inspect.getdoc(one) or '')}\n"]
    for member, value in vars(one).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            parts.append(f"### {name}.{member}\n\n{_plain(inspect.getdoc(value) or '')}\n")
        elif inspect.isfunction(value):
            parts += _callable("###", f"{name}.{member}", value)
    return parts


def _callable(mark: str, name: str, one: Any) -> list[str]:
    return [f"{mark} {name}\n", f"```text\n{_signature(name, one)}\n```\n", f"{_plain(inspect.getdoc(one) or '')}\n"]


def _signature(name: str, one: Any) -> str:
    """The call, a line for each argument where it is long."""
    told = inspect.signature(one)
    arguments = [_unquoted(str(a)) for a in told.parameters.values() if a.name != "self"]
    keyword = [i for i, a in enumerate(told.parameters.values()) if a.kind is a.KEYWORD_ONLY]
    if keyword:
        arguments.insert(keyword[0] - ("self" in told.parameters), "*")
    gives = "" if told.return_annotation is told.empty else _unquoted(f" -> {told.return_annotation!r}")
    start = f"{'async ' if inspect.iscoroutinefunction(one) else ''}{name.rpartition('.')[2]}"
    line = f"{start}({', '.join(arguments)}){gives}"
    if len(line) <= 100:
        return line
    lines = "".join(f"\n    {a}," for a in arguments)
    return f"{start}({lines}\n){gives}"


def _unquoted(text: str) -> str:
    """An argument or a result whose annotation is no string."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


if __name__ == "__main__":
    sys.exit(main())
