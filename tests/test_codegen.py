"""The generated project: its text, that it is reproducible, and that its faults are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.design.graph import Design, Node, Port
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Copies
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.files import templates as template_files
from bnn2fpga.files.identifiers import RESERVED, c_name
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render
from bnn2fpga.kernels.stream_fork import StreamFork
from bnn2fpga.kernels.xnor_mvu import XnorMvu
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.simulation.cpp import CppSimulator
from bnn2fpga.tools import gcc
from tests.contract import random_values
from tests.kernels.designs import chain, connect, conv_net, forked, frames_for

PART = "xc7z020clg400-1"
WEIGHTS = np.array([[1, -1, 1, 1], [-1, -1, 1, -1]])


def tiny(weights: np.ndarray = WEIGHTS) -> Design:
    """One unit of 2 x 4 weights; row 0 answers from 3 equal bits on, row 1 up to 1."""
    steps = Steps.read(np.array([[0, 1], [0, 0], [1, 0]]), np.array([0, 2, 3]), BIPOLAR)
    unit = XnorMvu((3, 4), BIPOLAR, weights, BIPOLAR, steps, pe=1, simd=2)
    ends = [(Port(None), Port("unit")), (Port("unit"), Port(None))]
    return connect("tiny", ends, [Node("unit", unit)], Stream((3, 4), BIPOLAR, 2))


def project(design: Design, part: str = PART, clock_mhz: float = 100) -> Project:
    return hls_project(design, part, clock_mhz)


def compiled(files: Project, design: Design, folder: Path) -> CppSimulator:
    files.write(folder)
    return CppSimulator.compile(design, folder, folder / "run")


# text


@pytest.mark.parametrize("path", ["top.cpp", "kernels/unit.hpp", "vitis_hls.tcl"])
def test_generated_text(path: str, snapshot: SnapshotAssertion) -> None:
    assert project(tiny()).files[path] == snapshot


def test_files_of_a_project() -> None:
    assert sorted(project(forked()).files) == [
        "bnn2fpga.hpp",
        "gcc/ap_axi_sdata.h",
        "gcc/threads.cpp",
        "gcc/threads/hls_stream.h",
        "hls.cfg",
        "kernels/left.hpp",
        "kernels/parted.hpp",
        "kernels/right.hpp",
        "testbench.cpp",
        "top.cpp",
        "top.hpp",
        "vitis_hls.tcl",
    ]
    assert all(text.endswith("\n") for text in project(forked()).files.values())


def test_clock_and_part_reach_the_script() -> None:
    script = project(tiny(), "xczu7ev-ffvc1156-2-e", 142.857143).files["vitis_hls.tcl"]
    assert "set_part xczu7ev-ffvc1156-2-e\n" in script
    assert "create_clock -period 7.000 " in script
    assert "set_top tiny\n" in script


def test_tiny_means_what_it_says() -> None:
    """By hand: +1 +1 +1 +1 equals 3 bits of row 0 and 1 bit of row 1."""
    assert tiny().simulate([[[1, 1, 1, 1], [-1, 1, -1, -1], [1, -1, 1, -1]]]).tolist() == [
        [[1, 1], [-1, -1], [1, -1]]
    ]


def converted() -> Design:
    net = conv_net()
    fields = {"conv": {"pe": 2}, "pool": {"lanes": 3}, "hidden": {"simd": 4}}
    return refold(net, {name: replace(net[name], **values) for name, values in fields.items()})


@pytest.mark.parametrize("design", [tiny(), forked(), converted()], ids=lambda design: design.name)
def test_every_stream_has_one_writer_and_one_reader(design: Design) -> None:
    files = project(design).files
    body = files["top.cpp"].split(f"void {design.name}(")[1]
    declared = re.findall(r"hls::stream<ap_uint<\d+> > (\w+)\(\"", body)
    assert len(declared) == len(set(declared)) == len(design.edges) + 1
    assert re.findall(r"STREAM variable=(\w+) ", body) == declared
    written: list[str] = []
    read: list[str] = []
    for function, arguments in re.findall(r"^    (\w+)\(([\w, ]+)\);$", body, re.MULTILINE):
        names = arguments.split(", ")
        if function.startswith("receive"):
            written += names[1:]
        elif function.startswith("send"):
            read += names[:-1]
        else:
            ports = len(design[function].inputs)
            read += names[:ports]
            written += names[ports:]
            signature = files[f"kernels/{function}.hpp"].split(f"void {function}(")[1].split("{")[0]
            assert signature.count("&in") == ports
            assert signature.count("&out") == len(names) - ports
    assert sorted(written) == sorted(read) == sorted(declared)


# names


@settings(max_examples=300, deadline=None)
@given(st.text() | st.from_regex(r"[/\w.:-]{1,20}") | st.sampled_from(sorted(RESERVED)))
def test_c_name_is_an_identifier(text: str) -> None:
    name = c_name(text)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*|_[A-Za-z0-9_]*", name, re.ASCII)
    assert name not in RESERVED
    assert c_name(name) == name or name == "n_"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("conv1", "conv1"),
        ("/features/0/Conv", "features_0_Conv"),
        ("layer.1", "layer_1"),
        ("1x1", "n_1x1"),
        ("größe", "gr_e"),
        ("", "n_"),
        ("switch", "n_switch"),
        ("input", "n_input"),
        ("Conv", "Conv"),
    ],
)
def test_c_name_by_example(text: str, name: str) -> None:
    assert c_name(text) == name


def test_awkward_kernel_names_compile(tmp_path: Path) -> None:
    """Words of the language, and names like those of the streams between other kernels."""
    names = [
        c_name(text) for text in ("conv", "conv_0", "conv/0/0", "in_0", "last", "int", "main", "axis", "x/")
    ]
    design = chain(
        "awkward", Stream((4,), IntType(3)), *((name, lambda s, _: Copies(s, 1)) for name in names)
    )
    frames = frames_for(design, 2, 0)
    found = compiled(project(design), design, tmp_path).run(frames).outputs[0]
    np.testing.assert_array_equal(found, frames)


def test_a_design_named_like_a_kernel_is_refused() -> None:
    with pytest.raises(BuildError) as caught:
        project(replace(tiny(), name="unit"))
    assert str(caught.value) == "unit: the design and one of its kernels share this name; rename one"


# templates


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A template folder of the test's own."""
    monkeypatch.setattr(template_files, "data_folder", lambda kind: tmp_path)
    template_files._environment.cache_clear()
    yield tmp_path
    template_files._environment.cache_clear()


FORK = StreamFork((4,), BIPOLAR, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ k.nonsense }}", "StreamFork object' has no attribute 'nonsense'"),
        ("{% if k.nonsense %}{% endif %}", "StreamFork object' has no attribute 'nonsense'"),
        ("{{ other.count }}", "'other' is undefined"),
        ("{{ k.count", "unexpected end of template"),
    ],
)
def test_a_template_that_asks_for_what_is_not_there(templates: Path, text: str, message: str) -> None:
    (templates / "wrong.hpp.j2").write_text(text)
    with pytest.raises(BuildError) as caught:
        render("wrong.hpp.j2", name="fork", k=FORK)
    assert str(caught.value).startswith("template wrong.hpp.j2: ")
    assert message in str(caught.value)


def test_a_template_sees_fields_and_properties(templates: Path) -> None:
    (templates / "right.hpp.j2").write_text("{{ name }} {{ k.count }} {{ k.cycles.interval }}\n")
    assert render("right.hpp.j2", name="fork", k=FORK) == "fork 2 4\n"


def test_a_missing_template_is_named() -> None:
    with pytest.raises(BuildError, match=r"^template kernels/none\.hpp\.j2: "):
        render("kernels/none.hpp.j2")


# projects


def test_the_digest_is_that_of_the_content() -> None:
    one = project(tiny())
    assert one == project(tiny())
    assert one.digest == project(tiny()).digest
    assert re.fullmatch("[0-9a-f]{64}", one.digest)
    assert Project(dict(reversed(one.files.items()))).digest == one.digest
    others = [
        project(tiny(-WEIGHTS)),
        project(tiny(), clock_mhz=50),
        project(tiny(), part="xc7z010clg400-1"),
        project(replace(tiny(), name="tiny2")),
        Project({**one.files, "more": ""}),
        Project({name: text for name, text in one.files.items() if name != "top.hpp"}),
        Project({"a": "bc"}),
        Project({"ab": "c"}),
        Project({"a": "", "b": ""}),
        Project({"ab": ""}),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == len(others) + 1


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "from tests.test_codegen import *\n"
        "print(project(tiny()).digest, project(forked()).digest, project(converted()).digest)"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        here = [project(design).digest for design in (tiny(), forked(), converted())]
        assert done.stdout.split() == here


def test_write_puts_every_file_where_it_belongs(tmp_path: Path) -> None:
    files = project(tiny())
    files.write(tmp_path)
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {name: text.encode() for name, text in files.files.items()}


# g++ and the test bench


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> CppSimulator:
    """`tiny`, compiled."""
    return compiled(project(tiny()), tiny(), tmp_path_factory.mktemp("tiny"))


def run_bench(simulator: CppSimulator, *arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [str(simulator.executable), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_cpp_equals_numpy_for_any_number_of_frames(simulator: CppSimulator) -> None:
    design = tiny()
    for count in (0, 1, 9):
        frames = frames_for(design, count, count)
        result = simulator.run(frames)
        np.testing.assert_array_equal(result.outputs[0], design.simulate(frames))
        assert result.trips == count * design["unit"].cycles.interval


def test_a_short_input_file_exits_2(simulator: CppSimulator, tmp_path: Path) -> None:
    frames, out = tmp_path / "in", tmp_path / "out"
    whole = tiny().inputs[0].stream.pack(frames_for(tiny(), 2, 0)).tobytes()
    frames.write_bytes(whole)
    assert run_bench(simulator, "2", frames, out) == (0, "")
    assert len(out.read_bytes()) == 2 * 6
    frames.write_bytes(whole[:-1])
    assert run_bench(simulator, "2", frames, out) == (2, "testbench: input file is too short\n")
    frames.write_bytes(b"")
    assert run_bench(simulator, "1", frames, out) == (2, "testbench: input file is too short\n")


def test_wrong_arguments_exit_2(simulator: CppSimulator, tmp_path: Path) -> None:
    assert run_bench(simulator, "2") == (2, "usage: testbench FRAMES INPUT0 OUTPUT0\n")
    missing = tmp_path / "missing"
    assert run_bench(simulator, "2", missing, tmp_path / "out") == (2, f"testbench: cannot open {missing}\n")
    (tmp_path / "in").write_bytes(b"")
    nowhere = tmp_path / "no" / "out"
    assert run_bench(simulator, "0", tmp_path / "in", nowhere) == (2, f"testbench: cannot open {nowhere}\n")


UNIT, TOP = "kernels/unit.hpp", "top.cpp"
WRITE = "out0.write(result);"
SEND = "        axis.write(word);"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "before", "after", "complaint"),
    [
        pytest.param(
            UNIT, "    unsigned column", "    in0.read(); unsigned column", "read while empty", id="underrun"
        ),
        pytest.param(UNIT, WRITE, WRITE + WRITE, "leftover data", id="overrun"),
        pytest.param(UNIT, WRITE, "if (row) " + WRITE, "read while empty", id="starved"),
        pytest.param(TOP, SEND, "if (beat < 5) " + SEND, "5 of 6 output beats came", id="too few"),
        pytest.param(
            TOP, SEND, SEND + "if (beat == 5)" + SEND, "more than 6 output beats came", id="too many"
        ),
        pytest.param(
            TOP, "= last.read()", "= 0 & last.read()", "TLAST is wrong at output beat 5", id="no TLAST"
        ),
        pytest.param(
            TOP, "word.last = 0", "word.last = !beat", "TLAST is wrong at output beat 0", id="early TLAST"
        ),
    ],
)
def test_a_fault_in_the_dataflow_is_found(
    tmp_path: Path, path: str, before: str, after: str, complaint: str
) -> None:
    """A copy of the project with one line changed: a stream that runs dry or over is an error."""
    files = dict(project(tiny()).files)
    assert files[path].count(before) == 1
    files[path] = files[path].replace(before, after)
    broken = compiled(Project(files), tiny(), tmp_path)
    with pytest.raises(ToolError) as caught:
        broken.run(frames_for(tiny(), 1, 0))
    assert str(caught.value).startswith(f"{broken.executable}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compile_error_shows_the_first_one(tmp_path: Path) -> None:
    files = dict(project(tiny()).files)
    files["kernels/unit.hpp"] = files["kernels/unit.hpp"].replace("ap_uint<2> vector", "nonsense vector")
    with pytest.raises(ToolError) as caught:
        compiled(Project(files), tiny(), tmp_path)
    text = str(caught.value)
    assert text.startswith(f"g++ failed on {tmp_path}: {tmp_path}/kernels/unit.hpp:")
    assert "error: " in text and "nonsense" in text and "\n" not in text


def test_a_missing_compiler_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        compiled(project(tiny()), tiny(), tmp_path)
    assert str(caught.value) == (
        "g++ is not on PATH; it compiles the generated C++ (Debian, Ubuntu: apt install g++)"
    )
    assert caught.value.exit_code == 3


def test_missing_headers_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcc, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        gcc.header_folder()
    assert str(caught.value) == (
        "ap_int.h is not found; it comes with the Python package hls4ml (pip install hls4ml)"
    )


def test_beats_of_the_widest_kind(tmp_path: Path) -> None:
    """ap_int.h stops at 1024 bits unless told before it is included."""
    design = refold(
        net := chain("wide", Stream((2, 4096), BIPOLAR), ("fork", lambda s, _: Copies(s, 1))),
        {"fork": replace(net["fork"], lanes=4096)},
    )
    frames = random_values(BIPOLAR, (2, 2, 4096), 0)
    files = dict(project(design).files)
    files["top.cpp"] += 'static_assert(AP_INT_MAX_W >= 4096, "told too late");\n'
    found = compiled(Project(files), design, tmp_path).run(frames).outputs[0]
    np.testing.assert_array_equal(found, frames)
