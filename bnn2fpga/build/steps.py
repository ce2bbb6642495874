"""The steps of a build."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.build import design_facts, open_flow, vivado_flow, vivado_rtl_flow
from bnn2fpga.build.compiler import Pipeline
from bnn2fpga.build.config import HOW, BuildConfig
from bnn2fpga.build.dataset import Dataset, load_dataset
from bnn2fpga.build.deployment import BuiltFiles, deploy
from bnn2fpga.build.ladder import Ladder, Level
from bnn2fpga.build.prove import Made, rungs
from bnn2fpga.build.seeds import Placed
from bnn2fpga.build.step_runner import ASIDE, STAMP, Step, StepEvent, needed, run_flow
from bnn2fpga.build.verify import climb, glance, graph_outputs, random_frames
from bnn2fpga.build.versions import versions
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.files.digest import file_digest
from bnn2fpga.files.package_data import package_digest
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.timing.fifo_needs import fifo_needs
from bnn2fpga.report.pages import write_pages
from bnn2fpga.report.report_file import REPORT
from bnn2fpga.tools.nextpnr import ROUTED

CPP_OPERATIONS = 4_000_000_000
"""Synapse operations that the C++ level spends at most, about a minute on one core."""


@dataclass(frozen=True, eq=False)
class Build:
    """A configured build; `pipeline` holds what has been computed in this process."""

    config: BuildConfig
    pipeline: Pipeline
    on_level: Callable[[Level], None] = lambda level: None
    on_placed: Callable[[Placed], None] = lambda placed: None

    @classmethod
    def of(
        cls,
        config: BuildConfig,
        on_level: Callable[[Level], None] = lambda level: None,
        on_placed: Callable[[Placed], None] = lambda placed: None,
    ) -> Build:
        """The build of `config`, nothing computed yet."""
        return cls(config, Pipeline(config.model, config), on_level, on_placed)

    def steps(self, before: tuple[str, ...] = ()) -> list[Step]:
        """From the model to the deployment folder; `before` are steps that make the model and the data."""
        version, board = package_digest(), self.pipeline.board
        limits = self.config.limits(board)
        settings = version + self.config.model_dump_json(exclude={"model", "data"} | HOW)
        # files that earlier steps make are covered by those steps' digests
        model, data = (
            ("", "") if before else (_file_digest(self.config.model), _file_digest(self.config.data))
        )
        graph = () if self.pipeline.imported else (Step("streamline", self.streamline, ("load",), version),)
        steps = [
            Step("load", self.load, before, settings + model),
            *graph,
            Step("lower", self.lower, (graph[0].name if graph else "load",), settings),
            Step("fold", self.fold, ("lower",), f"{settings}{board.model_dump_json()}{limits}"),
            Step("hls", self.hls, ("fold",), version),
            Step("verify", self.verify, ("hls", "load", *before), settings + data),
            *self._flow_steps(version),
        ]
        # it tells the digests of all files, those that the user gave included
        needs = (*before, *(step.name for step in steps))
        report = Step("report", self.report, needs, version + model + data)
        proven = ("prove",) if self._proves() else ()
        made = ("load", "fold", "hls", "verify", *self._bitstream(), *proven)
        return [*steps, report, Step("deploy", self.deploy, made, settings + data)]

    def _bitstream(self) -> tuple[str, ...]:
        """The step that makes the flow's bitstream, if one does."""
        made = {"vivado": ("implementation",), "openxc7": ("bitstream",)}.get(self.config.flow, ())
        return ("bitstream",) if self.config.source == "rtl" else made

    def _proves(self) -> bool:
        """Whether the bitstream is read back and compared."""
        return self.config.flow == "openxc7" and self.config.openxc7.prove

    def _flow_steps(self, version: str) -> list[Step]:
        """What the chosen flow does after `verify`."""
        flow, source = self.config.flow, self.config.source
        if source == "rtl" and flow != "vivado":
            raise ConfigError(
                f"--source rtl is for --flow vivado, not {flow}; choose it, or leave --source out"
            )
        if flow == "vitis":
            return []
        if flow == "vivado" and source == "hls":
            return self._vivado_steps(version)
        rtl = Step("rtl", self.rtl, ("fold", "hls", "verify"), f"{version}{self._primitives}")
        if flow == "sim":
            return [rtl]
        if flow == "vivado":
            return [rtl, *self._vivado_rtl_steps(version)]
        open_flow.check_part(self.pipeline.board, "--flow openxc7", "--flow vivado")
        tools = self.config.openxc7
        # what only decides on the clock is no reason to place and route again
        placed = tools.model_dump_json(exclude={"margin", "strict_clock", "jobs", "scheduler", "prove"})
        data = self.config.model_dump_json(include={"data", "divide", "frames"})
        read_back = f"{version}{tools.database}{data}{_file_digest(self.config.data)}"
        needs = ("bitstream", "route", "verify", "fold", "load")
        return [
            rtl,
            Step("synthesis", self._open(open_flow.synthesis, tools), ("rtl",), f"{version}{tools.yosys}"),
            Step(
                "route",
                self._open(open_flow.route, tools, self.on_placed),
                ("synthesis", "fold"),
                version + placed,
            ),
            Step("bitstream", self.bitstream, ("route", "rtl"), version + self.config.to_toml(whole=True)),
            *([Step("prove", self.prove, needs, read_back)] if self._proves() else []),
        ]

    def _vivado_steps(self, version: str) -> list[Step]:
        """Synthesis and implementation with AMD's tools; how many jobs work at it changes no result."""
        board, tools = self.pipeline.board, self.config.vivado
        key = version + board.model_dump_json() + tools.model_dump_json(include={"hls", "vivado"})

        def synthesis(folder: Path) -> None:
            vivado_flow.hls_synthesis(self.pipeline.folded, folder, board, tools)

        return [
            Step("hls-synthesis", synthesis, ("hls", "verify"), key),
            Step("implementation", self.implementation, ("hls-synthesis", "fold"), key),
        ]

    def implementation(self, folder: Path) -> None:
        """The bitstream with AMD's tools, and the configuration that repeats this build."""
        vivado_flow.implementation(self.pipeline.folded, folder, self.pipeline.board, self.config.vivado)
        (folder / "build.toml").write_text(self.config.to_toml(whole=True))

    def _vivado_rtl_steps(self, version: str) -> list[Step]:
        """Vivado alone on the open flow's RTL; what only decides on the clock does not run it again."""
        board, tools = self.pipeline.board, self.config.vivado
        open_flow.check_part(board, "--source rtl", "--source hls")

        def implementation(folder: Path) -> None:
            vivado_rtl_flow.implementation(self.pipeline.folded, folder, tools)

        def bitstream(folder: Path) -> None:
            vivado_rtl_flow.bitstream(self.pipeline.folded, folder, tools, board.clocks_mhz)
            (folder / "build.toml").write_text(self.config.to_toml(whole=True))

        return [
            Step("implementation", implementation, ("rtl", "fold"), f"{version}{tools.vivado}"),
            Step(
                "bitstream", bitstream, ("implementation", "rtl"), version + self.config.to_toml(whole=True)
            ),
        ]

    @property
    def _primitives(self) -> bool:
        """Whether the RTL is of the chip's own cells, for a bitstream; else any simulator reads it."""
        return self.config.flow == "openxc7" or self.config.source == "rtl"

    def _open(self, action: Callable[..., None], *settings: Any) -> Callable[[Path], None]:
        """`action` of the open flow, on the folded design."""
        return lambda folder: action(self.pipeline.folded, folder, *settings)

    def rtl(self, folder: Path) -> None:
        """The SystemVerilog; for a bitstream of the chip's own cells, else as any simulator reads it."""
        core = self.pipeline.reach("rtl-primitives" if self._primitives else "rtl")
        open_flow.rtl(self.pipeline.folded, folder, core)

    def bitstream(self, folder: Path) -> None:
        """The bitstream, its register map, and the configuration that repeats this build."""
        clocks = self.pipeline.board.clocks_mhz
        routed = open_flow.bitstream(self.pipeline.folded, folder, self.config.openxc7, clocks)
        # with the seed that was best there is no other to try
        tools = self.config.openxc7.replaced(place_and_route=routed.tool, seed=routed.seed, effort=0)
        repeated = self.config.replaced(openxc7=tools)
        (folder / "build.toml").write_text(repeated.to_toml(whole=True))

    def prove(self, folder: Path) -> None:
        """The last rungs of the ladder: routed netlist and bitstream; a MismatchError if one differs."""
        bitstream = needed(folder, "bitstream")
        made = Made(
            needed(folder, "route") / ROUTED,
            bitstream / f"{self.pipeline.folded.name}.bit",
            bitstream / "registers.json",
        )
        levels = []
        for level in rungs(self.pipeline, self._data().frames, made, self.config.openxc7.family()):
            levels.append(level)
            self.on_level(level)
        ladder = Ladder(tuple(levels))
        _refuse_difference(ladder)
        _write_json(folder / "proof.json", ladder.as_dict())

    def load(self, folder: Path) -> None:
        """The tidied model and the configuration."""
        if self.pipeline.imported:
            assert self.pipeline.lowered
            shutil.copyfile(self.config.model, folder / "parameters.npz")
        else:
            self.pipeline.loaded.save(str(folder / "model.onnx"))
        (folder / "build.toml").write_text(self.config.to_toml())

    def streamline(self, folder: Path) -> None:
        """The transformed model and the list of transformations."""
        model, applied = self.pipeline.streamlined
        model.save(str(folder / "model.onnx"))
        _write_json(folder / "transformations.json", design_facts.transformations(applied))

    def lower(self, folder: Path) -> None:
        """The integer design, described; a MismatchError if a few frames differ from the graph's."""
        _refuse_difference(Ladder(tuple(glance(self.pipeline, cpp=False))))
        _write_json(folder / "design.json", design_facts.describe(self.pipeline.lowered))

    def fold(self, folder: Path) -> None:
        """The folding of each kernel, and the estimate."""
        _write_json(folder / "design.json", design_facts.describe(self.pipeline.folded))
        estimated = estimate(self.pipeline.folded, self.pipeline.board, self.pipeline.planned.limit)
        needs = fifo_needs(self.pipeline.folded)
        _write_json(folder / "estimate.json", design_facts.planned(estimated, needs))
        _write_json(folder / "board.json", self.pipeline.board.model_dump(exclude={"preset", "sources"}))

    def hls(self, folder: Path) -> None:
        """The Vitis HLS project; a MismatchError if its C++ gives other integers for a few frames."""
        self.pipeline.hls.write(folder)
        _refuse_difference(Ladder(tuple(glance(self.pipeline, cpp=True))))

    def verify(self, folder: Path) -> None:
        """The ladder of levels; a MismatchError if one differs."""
        data = self._data()
        levels = []
        for level in climb(self.pipeline, data.frames, data.scores, self._cpp_frames(len(data.frames))):
            levels.append(level)
            self.on_level(level)
        ladder = Ladder(tuple(levels))
        _refuse_difference(ladder)
        graph = None if data.labels is None else graph_outputs(self.pipeline, data.frames)
        results = {"accuracy": design_facts.accuracy(self.pipeline.folded, data, graph)}
        _write_json(folder / "ladder.json", ladder.as_dict() | results)
        _write_json(folder / "versions.json", versions())

    def report(self, folder: Path) -> None:
        """Everything above in one JSON file, and pages to read that are made of it."""
        own = folder.name.removeprefix(ASIDE)
        build = {
            path.name.split("-", 1)[1]: path
            for path in sorted(folder.parent.glob("[0-9][0-9]-*"))
            if path.name < own and (path / STAMP).exists()
        }
        given = {"model": self.config.model, "data": self.config.data}
        files = {name: _file_digest(path) for name, path in given.items() if path}
        found = design_facts.gather(build, files | {"bnn2fpga": package_digest()})
        _write_json(folder / REPORT, found)
        write_pages(folder, found)

    def deploy(self, folder: Path) -> None:
        """What is copied to the board: driver, bitstream, golden vectors; and what simulates it on a PC."""
        flow, name = self.config.flow, self.pipeline.folded.name
        built = BuiltFiles(flow)
        for step in self._bitstream():
            made = needed(folder, step)
            if step == "implementation":
                built = BuiltFiles(flow, (made / f"{name}.bit", made / f"{name}.hwh"), "dma")
            else:
                files = (made / f"{name}.bit", made / "registers.json")
                clock = json.loads(files[1].read_text())["clock_mhz"]
                built = BuiltFiles(flow, files, "registers", clock)
        frames = self._data().frames
        deploy(self.pipeline, frames, built, needed(folder, "load"), needed(folder, "hls"), folder)

    def _data(self) -> Dataset:
        if self.config.data is None:
            return Dataset(random_frames(self.pipeline, self.config.frames))
        shape = self.pipeline.lowered.host.input_shape
        return load_dataset(self.config.data, shape, self.config.divide)

    def _cpp_frames(self, frames: int) -> int:
        return max(1, min(frames, CPP_OPERATIONS // max(1, design_facts.operations(self.pipeline.folded))))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def _refuse_difference(ladder: Ladder) -> None:
    for level in ladder.levels:
        if not level.ok:
            raise MismatchError(
                f"{level.name} differs from {level.reference} in {level.frames - level.equal} of "
                f"{level.frames} frames; first at {level.difference}"
            )


def _file_digest(path: Path | None) -> str:
    """SHA-256 of a file that the user names; a missing one is found out by the step that reads it."""
    return file_digest(path) if path and path.is_file() else ""


def run_build(
    config: BuildConfig,
    folder: str | Path,
    to: str | None = None,
    on_step: Callable[[StepEvent], None] | None = None,
    on_level: Callable[[Level], None] = lambda level: None,
    on_placed: Callable[[Placed], None] = lambda placed: None,
) -> dict[str, Path]:
    """Builds into `folder` as `bnn2fpga build` does, up to and with step `to`; gives each step's folder.

    A build that was stopped goes on; unchanged steps are skipped. `on_step` sees steps begin and end,
    `on_level` every level that was compared, `on_placed` every seed of place and route, where several are
    tried. Raises BuildError, also where two levels differ.
    """
    return run_flow(Path(folder), Build.of(config, on_level, on_placed).steps(), to, on_step)
