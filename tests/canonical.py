"""The canonical form of a dataflow region (UG1399, UG1448 214-169), checked on the syntax tree of libclang.

Of the generated files: the top level only declares streams and calls processes, each stream has one writer
and, after it, one reader; nothing is recursive, allocated, thrown or jumped to; no process returns a value.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from clang import cindex
from clang.cindex import Cursor, CursorKind

from bnn2fpga.tools.gcc import find_gcc, header_folder

FORBIDDEN = {
    CursorKind.CXX_NEW_EXPR: "new",
    CursorKind.CXX_DELETE_EXPR: "delete",
    CursorKind.CXX_THROW_EXPR: "throw",
    CursorKind.CXX_TRY_STMT: "try",
    CursorKind.GOTO_STMT: "goto",
    CursorKind.INDIRECT_GOTO_STMT: "goto",
    CursorKind.LAMBDA_EXPR: "lambda",
    CursorKind.CXX_DYNAMIC_CAST_EXPR: "dynamic_cast",
    CursorKind.CXX_TYPEID_EXPR: "typeid",
}
ALLOCATORS = {"malloc", "calloc", "realloc", "free", "alloca", "operator new", "operator delete"}
DECLARATIONS = {CursorKind.FUNCTION_DECL, CursorKind.FUNCTION_TEMPLATE}


class Source:
    """The parsed top.cpp of a project; `own` are the functions of its own files by name."""

    def __init__(self, project: Path) -> None:
        gcc = [find_gcc(), "-print-file-name=include"]
        builtin = subprocess.run(gcc, capture_output=True, text=True, check=True).stdout.strip()
        folders = [project, project / "gcc", header_folder(), Path(builtin)]
        unit = cindex.Index.create().parse(
            str(project / "top.cpp"), ["-std=c++14", *(f"-I{folder}" for folder in folders)]
        )
        errors = [str(one) for one in unit.diagnostics if one.severity >= cindex.Diagnostic.Error]
        assert not errors, errors
        self.own = {
            cursor.spelling: cursor
            for cursor in unit.cursor.get_children()
            if cursor.kind in DECLARATIONS and cursor.is_definition() and _lies_in(cursor, project)
        }


def faults(project: Path, top: str) -> list[str]:
    """What is wrong, one line each."""
    source = Source(project)
    found = [fault for name in source.own for fault in _statements(source, name)]
    found += _cycles(source)
    # the directions of a recursive process would be looked for without end
    return found or list(_region(source, source.own[top]))


def _statements(source: Source, name: str) -> Iterator[str]:
    for cursor in source.own[name].walk_preorder():
        if cursor.kind in FORBIDDEN:
            yield f"{name}: {FORBIDDEN[cursor.kind]}"
        if cursor.kind == CursorKind.CALL_EXPR and cursor.spelling in ALLOCATORS:
            yield f"{name}: {cursor.spelling}"
        if cursor.kind == CursorKind.VAR_DECL and "std::" in cursor.type.get_canonical().spelling:
            yield f"{name}: {cursor.spelling} is a {cursor.type.spelling}"


def _calls(cursor: Cursor) -> list[Cursor]:
    return [
        c for c in cursor.walk_preorder() if c.kind in (CursorKind.CALL_EXPR, CursorKind.OVERLOADED_DECL_REF)
    ]


def _cycles(source: Source) -> Iterator[str]:
    """Functions that reach themselves."""
    calls = {
        name: {call.spelling for call in _calls(cursor)} & set(source.own)
        for name, cursor in source.own.items()
    }
    for name in calls:
        reached, waiting = set[str](), list(calls[name])
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += calls[one]
        if name in reached:
            yield f"{name}: is recursive"


def _region(source: Source, top: Cursor) -> Iterator[str]:
    (body,) = (child for child in top.get_children() if child.kind == CursorKind.COMPOUND_STMT)
    used: dict[str, list[str]] = {port.spelling: [] for port in top.get_arguments()}
    for statement in body.get_children():
        if statement.kind == CursorKind.DECL_STMT:
            for variable in statement.get_children():
                if not variable.type.spelling.startswith("hls::stream<"):
                    yield f"{top.spelling}: declares {variable.spelling}, no stream"
                used[variable.spelling] = []
        elif statement.kind == CursorKind.CALL_EXPR and statement.spelling in source.own:
            process = source.own[statement.spelling]
            if process.result_type.spelling != "void":
                yield f"{process.spelling}: returns {process.result_type.spelling}"
            given = list(statement.get_arguments())
            for parameter, argument in zip(process.get_arguments(), given, strict=True):
                directions = _directions(source, process, parameter)
                if len(directions) != 1:
                    yield f"{process.spelling}: {parameter.spelling} is read and written, or neither"
                used[argument.spelling] += sorted(directions)
        else:
            yield f"{top.spelling}: holds a {statement.kind.name}, not a call of a process"
    ports = {port.spelling for port in top.get_arguments()}
    for name, uses in used.items():
        if uses != ["write", "read"] and not (name in ports and len(uses) == 1):
            yield f"{top.spelling}: stream {name} has uses {', '.join(uses) or 'none'}"


def _directions(source: Source, function: Cursor, parameter: Cursor) -> set[str]:
    """`read`, `write` or both, also through functions that it is handed to."""
    found: set[str] = set()
    for call in _calls(function):
        children = list(call.get_children())
        if call.spelling in ("read", "write", "read_nb", "write_nb") and children:
            if any(_names(one, parameter) for one in children[0].walk_preorder()):
                found.add(call.spelling.removesuffix("_nb"))
        elif call.spelling in source.own:
            inner = source.own[call.spelling]
            for given, taken in zip(call.get_arguments(), inner.get_arguments(), strict=False):
                if _names(given, parameter):
                    found |= _directions(source, inner, taken)
    return found


def _names(cursor: Cursor, parameter: Cursor) -> bool:
    return cursor.kind == CursorKind.DECL_REF_EXPR and cursor.referenced == parameter


def _lies_in(cursor: Cursor, project: Path) -> bool:
    file = cursor.location.file
    return file is not None and Path(file.name).is_relative_to(project)
