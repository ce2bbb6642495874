"""What a board file says, and what is said about a wrong one."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bnn2fpga.boards.board import Board, board_names, load_board
from bnn2fpga.errors import BuildError, ConfigError
from bnn2fpga.files import package_data
from bnn2fpga.files.package_data import DataKind, data_folder

GOOD = """\
name = "mine"
title = "My board"
part = "xc7z010clg400-1"
luts = 17600
lutram_luts = 6000
flipflops = 35200
bram36 = 60
dsps = 80
clocks_mhz = [50, 100]
default_clock_mhz = 100
hp_port_bits = 64
"""


def refusal(name: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_board(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_pynq_z2_holds_what_the_data_sheet_says() -> None:
    board = load_board("pynq-z2")
    assert board.part == "xc7z020clg400-1"
    assert (board.luts, board.lutram_luts, board.flipflops) == (53200, 17400, 106400)
    assert (board.bram36, board.dsps, board.hp_port_bits) == (140, 220, 64)
    assert board.default_clock_mhz == 100


def test_pynq_z2_clocks_are_the_pll_over_every_integer() -> None:
    """From 20 to 200 MHz, where the counters of the processing system leave out none."""
    clocks = load_board("pynq-z2").clocks_mhz
    assert [round(1000 / clock) for clock in clocks] == list(range(50, 4, -1))
    assert all(clock == pytest.approx(1000 / round(1000 / clock), abs=1e-6) for clock in clocks)
    made = {one * other for one in range(1, 64) for other in range(1, 64)}
    assert made.issuperset(range(5, 51))


def test_clocks_that_are_listed_are_all(tmp_path: Path) -> None:
    assert load_board(written(tmp_path, GOOD + "pll_mhz = 1000\n")).clocks_mhz == (50, 100)
    text = GOOD.replace("clocks_mhz = [50, 100]", "pll_mhz = 900")
    assert load_board(written(tmp_path, text)).clocks_mhz[-2:] == (150, 180)
    text = GOOD.replace("clocks_mhz = [50, 100]", 'pll_mhz = "x"')
    assert "clocks_mhz: is missing; pll_mhz: input should be a valid number" in refusal(
        written(tmp_path, text)
    )


@pytest.mark.parametrize("name", ["pynq-z1", "arty-z7-20", "zybo-z7-20"])
def test_boards_with_the_same_chip_differ_only_around_it(name: str) -> None:
    around = {"name", "title", "sources", "preset"}
    assert load_board(name).model_dump(exclude=around) == load_board("pynq-z2").model_dump(exclude=around)


@pytest.mark.parametrize(
    ("name", "part", "facts"),
    [
        ("ultra96-v2", "xczu3eg-sbva484-1-i", (70560, 28800, 141120, 216, 0, 360)),
        ("zcu104", "xczu7ev-ffvc1156-2-e", (230400, 101760, 460800, 312, 96, 1728)),
        ("kv260", "xck26-sfvc784-2LV-c", (117120, 57600, 234240, 144, 64, 1248)),
    ],
)
def test_zynq_ultrascale_boards_hold_what_the_data_sheet_says(
    name: str, part: str, facts: tuple[int, ...]
) -> None:
    board = load_board(name)
    assert (board.part, board.family, board.hp_port_bits) == (part, "zynqmp", 128)
    found = (board.luts, board.lutram_luts, board.flipflops, board.bram36, board.urams, board.dsps)
    assert found == facts
    for clock in board.clocks_mhz:
        assert clock == pytest.approx(1500 / round(1500 / clock), abs=1e-6)


@pytest.mark.parametrize("name", board_names())
def test_every_board_names_its_sources_and_crystal(name: str) -> None:
    board = load_board(name)
    assert len(board.sources) >= 3
    assert {"PCW_CRYSTAL_PERIPHERAL_FREQMHZ", "PSU__PSS_REF_CLK__FREQMHZ"} & set(board.preset)


@pytest.mark.parametrize(
    ("part", "family"),
    [("xc7z010clg400-1", "zynq7000"), ("xczu5ev-sfvc784-1-e", "zynqmp"), ("xc7a35tcpg236-1", None)],
)
def test_the_family_is_told_by_the_part(part: str, family: str | None) -> None:
    assert load_board("pynq-z2").model_copy(update={"part": part}).family == family


@pytest.mark.parametrize("name", board_names())
def test_shipped_board_bears_the_name_of_its_file(name: str) -> None:
    assert load_board(name).name == name


def test_a_path_may_be_text_or_path(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert load_board(path) == load_board(str(path))
    assert load_board(path).clocks_mhz == (50.0, 100.0)


def test_a_board_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_board("pynq-z2").luts = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wanted", "given"), [(None, 100.0), (100, 100.0), (142, 142.857143), (143, 142.857143)]
)
def test_clock_within_a_percent_is_taken(wanted: float | None, given: float) -> None:
    assert load_board("pynq-z2").clock(wanted) == given


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        (150.0, " (near it: 142.857, 166.667)"),
        (0.0, " (near it: 20)"),
        (-100.0, " (near it: 20)"),
        (float("nan"), ""),
        (float("inf"), " (near it: 200)"),
    ],
)
def test_other_clocks_are_refused(wanted: float, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_board("pynq-z2").clock(wanted)
    assert str(caught.value) == (
        f"board pynq-z2 cannot make a clock of {wanted:g} MHz; legal: 1000 MHz over an integer, 5 to 50{near}"
    )


KNOWN = "arty-z7-20, kv260, pynq-z1, pynq-z2, ultra96-v2, zcu104, zybo-z7-20"


def test_unknown_name() -> None:
    assert refusal("vcu118") == f"unknown board 'vcu118'; known: {KNOWN} (or the path of a .toml file)"


@pytest.mark.parametrize("name", ["pynq-z2a", "PYNQ-Z2", "pynqz2"])
def test_close_name_gets_a_hint(name: str) -> None:
    assert refusal(name) == (
        f"unknown board '{name}'; known: {KNOWN} (or the path of a .toml file), did you mean 'pynq-z2'?"
    )


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'name = "My Board"\nlut = 3\nluts = -5\nlutram_luts = 7\nflipflops = "12"\nbram36 = 1.5\n'
        "dsps = true\nclocks_mhz = [50, nan]\ndefault_clock_mhz = 0\nhp_port_bits = 48\n",
    )
    assert refusal(path) == (
        f"board file {path}: "
        "name: string should match pattern '^[a-z0-9][a-z0-9_-]*$', not 'My Board'; "
        "title: is missing; "
        "part: is missing; "
        "luts: input should be greater than 0, not -5; "
        "flipflops: input should be a valid integer, not '12'; "
        "bram36: input should be a valid integer, not 1.5; "
        "dsps: input should be a valid integer, not True; "
        "clocks_mhz.1: input should be a finite number, not nan; "
        "default_clock_mhz: input should be greater than 0, not 0; "
        "hp_port_bits: input should be 32, 64 or 128, not 48; "
        "lut: unknown field, did you mean 'luts'?"
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "lutram_luts = 6000",
            "lutram_luts = 17601",
            "lutram_luts: 17601 is more than the 17600 luts it is a part of",
        ),
        ("[50, 100]", "[100, 50]", "clocks_mhz: must rise, not 100, 50"),
        ("[50, 100]", "[100, 100]", "clocks_mhz: must rise, not 100, 100"),
        ("[50, 100]", "[50, 125]", "default_clock_mhz: 100 is not one of clocks_mhz: 50, 125"),
        ("dsps = 80", '"a\\nb" = 1\ndsps = 80', "a b: unknown field"),
        (
            "hp_port_bits = 64",
            'hp_port_bits = 64\npreset = { PCW_A = "}; exit" }',
            "preset.PCW_A: string should match pattern '^[\\w .()-]+$', not '}; exit'",
        ),
    ],
)
def test_facts_that_contradict_each_other(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert GOOD.count(old) == 1
    path = written(tmp_path, GOOD.replace(old, new))
    assert refusal(path) == f"board file {path}: {fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"luts = 1\ndsps = = 2\n", "not valid TOML: Invalid value (at line 2, column 8)"),
        (
            b"luts = 1\ndsps 2\n",
            "not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 6)",
        ),
        (b"title = '\xff'\n", "not valid TOML: byte 9 is no UTF-8"),
    ],
)
def test_broken_file(tmp_path: Path, text: bytes, fault: str) -> None:
    path = written(tmp_path, text)
    assert refusal(path) == f"board file {path}: {fault}"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(missing) == f"board file {missing}: No such file or directory"
    assert refusal(str(missing)) == f"board file {missing}: No such file or directory"
    assert refusal(tmp_path) == f"board file {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("kind", "installed"), [("boards", "boards_data"), ("hls_templates", "hls_templates")]
)
def test_data_inside_the_package_wins_over_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: DataKind, installed: str
) -> None:
    monkeypatch.setattr(package_data, "__file__", str(tmp_path / "bnn2fpga/files/package_data.py"))
    inside, beside = tmp_path / "bnn2fpga" / installed, tmp_path / kind
    with pytest.raises(BuildError) as caught:
        data_folder(kind)
    assert str(caught.value) == (
        f"the {kind} of bnn2fpga are missing, looked in {inside} and {beside}; install it again"
    )
    beside.mkdir()
    assert data_folder(kind) == beside
    inside.mkdir(parents=True)
    assert data_folder(kind) == inside


def test_the_fields_need_no_toml() -> None:
    facts = load_board("pynq-z2").model_dump()
    assert Board(**facts) == load_board("pynq-z2")
