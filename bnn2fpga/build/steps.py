"""The steps of a build."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bnn2fpga.build import facts, open_flow, vivado_flow
from bnn2fpga.backends.hls import hls_project
from bnn2fpga.build.dataset import Dataset, load_dataset
from bnn2fpga.build.deployment import BuiltFiles, deploy
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.build.flow import ASIDE, STAMP, Step, needed
from bnn2fpga.planning.timing.fifo_needs import fifo_needs
from bnn2fpga.build.pipeline import Options, Pipeline
from bnn2fpga.report.facts import REPORT
from bnn2fpga.report.pages import write_pages
from bnn2fpga.files.package_data import package_digest
from bnn2fpga.tools.amd import Vivado
from bnn2fpga.tools.openxc7 import OpenXC7
from bnn2fpga.build.verify import Ladder, Level, climb, graph_outputs, random_frames
from bnn2fpga.build.versions import versions

CPP_OPERATIONS = 4_000_000_000
"""Synapse operations that the C++ level spends at most, about a minute on one core."""


Flow = Literal["sim", "vitis", "vivado", "openxc7"]
"""Where a build ends: RTL to simulate, a Vitis HLS project, a bitstream by AMD's or by open tools."""


_HOW = {"flow", "vivado", "openxc7"}
"""Settings that change nothing of what is built and verified before the flow's own steps."""


class BuildConfig(Options):
    """A build as it is kept in build.toml: `bnn2fpga build build.toml` repeats it.

    `data` are frames (and labels) to verify with, each divided by `divide`; without it, `frames`
    random ones are used. The tables [vivado] and [openxc7] say where the tools of the flows of these names
    lie.
    """

    model: Path
    data: Path | None = None
    divide: float = 1.0
    frames: int = 64
    flow: Flow = "vitis"
    vivado: Vivado = Vivado()
    openxc7: OpenXC7 = OpenXC7()

    def to_toml(self, whole: bool = False) -> str:
        """The configuration as TOML; values that are None are left out.

        Flow and tools are there only in the `whole`: another seed of the placer is no reason to verify
        again, so what the first step writes must not name them.
        """
        values = self.model_dump(mode="json", exclude_none=True, exclude=_HOW)
        if not whole:
            return _lines(values)
        tables = (("vivado", self.vivado), ("openxc7", self.openxc7))
        return _lines(values | {"flow": self.flow}) + "".join(
            f"[{name}]\n{_lines(tools.model_dump(mode='json', exclude_none=True))}" for name, tools in tables
        )


@dataclass(frozen=True, eq=False)
class Build:
    """A configured build; `pipeline` holds what has been computed in this process."""

    config: BuildConfig
    pipeline: Pipeline
    on_level: Callable[[Level], None] = lambda level: None

    @classmethod
    def of(cls, config: BuildConfig, on_level: Callable[[Level], None] = lambda level: None) -> Build:
        """The build of `config`, nothing computed yet."""
        return cls(config, Pipeline(config.model, config), on_level)

    def steps(self, before: tuple[str, ...] = ()) -> list[Step]:
        """From the model to the deployment folder; `before` are steps that make the model and the data."""
        version = package_digest()
        settings = version + self.config.model_dump_json(exclude={"model", "data"} | _HOW)
        # files that earlier steps make are covered by those steps' digests
        model, data = (
            ("", "") if before else (_file_digest(self.config.model), _file_digest(self.config.data))
        )
        graph = () if self.pipeline.imported else (Step("streamline", self.streamline, ("load",), version),)
        steps = [
            Step("load", self.load, before, settings + model),
            *graph,
            Step("lower", self.lower, (graph[0].name if graph else "load",), settings),
            Step("fold", self.fold, ("lower",), settings + self.pipeline.board.model_dump_json()),
            Step("hls", self.hls, ("fold",), version),
            Step("verify", self.verify, ("hls", "load", *before), settings + data),
            *self._flow_steps(version),
        ]
        # it tells the digests of all files, those that the user gave included
        needs = (*before, *(step.name for step in steps))
        report = Step("report", self.report, needs, version + model + data)
        made = ("load", "fold", "hls", "verify", *self._bitstream())
        return [*steps, report, Step("deploy", self.deploy, made, settings + data)]

    def _bitstream(self) -> tuple[str, ...]:
        """The step that makes the flow's bitstream, if one does."""
        return {"vivado": ("implementation",), "openxc7": ("bitstream",)}.get(self.config.flow, ())

    def _flow_steps(self, version: str) -> list[Step]:
        """What the chosen flow does after `verify`."""
        if self.config.flow == "vitis":
            return []
        if self.config.flow == "vivado":
            return self._vivado_steps(version)
        primitives = self.config.flow == "openxc7"
        if primitives:
            open_flow.check_part(self.pipeline.board)
        action = self._open(open_flow.rtl, primitives)
        rtl = Step("rtl", action, ("fold", "hls", "verify"), f"{version}{primitives}")
        if not primitives:
            return [rtl]
        tools = self.config.openxc7
        return [
            rtl,
            Step("synthesis", self._open(open_flow.synthesis, tools), ("rtl",), f"{version}{tools.yosys}"),
            Step("route", self._open(open_flow.route, tools), ("synthesis", "fold"), version + repr(tools)),
            Step("bitstream", self.bitstream, ("route", "rtl"), version + self.config.to_toml(whole=True)),
        ]

    def _vivado_steps(self, version: str) -> list[Step]:
        """Synthesis and implementation with AMD's tools; how many jobs work at it changes no result."""
        board, tools = self.pipeline.board, self.config.vivado
        key = version + board.model_dump_json() + tools.model_dump_json(exclude={"jobs", "ip_cache"})

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

    def _open(self, action: Callable[..., None], *settings: OpenXC7 | bool) -> Callable[[Path], None]:
        """`action` of the open flow, on the folded design."""
        return lambda folder: action(self.pipeline.folded, folder, *settings)

    def bitstream(self, folder: Path) -> None:
        """The bitstream, its register map, and the configuration that repeats this build."""
        open_flow.bitstream(self.pipeline.folded, folder, self.config.openxc7)
        (folder / "build.toml").write_text(self.config.to_toml(whole=True))

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
        _write_json(folder / "transformations.json", facts.transformations(applied))

    def lower(self, folder: Path) -> None:
        """The integer design, described."""
        _write_json(folder / "design.json", facts.describe(self.pipeline.lowered))

    def fold(self, folder: Path) -> None:
        """The folding of each kernel, and the estimate."""
        _write_json(folder / "design.json", facts.describe(self.pipeline.folded))
        estimated = estimate(self.pipeline.folded, self.pipeline.board, self.pipeline.planned.limit)
        _write_json(folder / "estimate.json", facts.planned(estimated, fifo_needs(self.pipeline.folded)))
        _write_json(folder / "board.json", self.pipeline.board.model_dump(exclude={"preset", "sources"}))

    def hls(self, folder: Path) -> None:
        """The Vitis HLS project."""
        design = self.pipeline.folded
        assert design.target is not None
        hls_project(design, design.target.part, design.target.clock_mhz).write(folder)

    def verify(self, folder: Path) -> None:
        """The ladder of levels; a MismatchError if one differs."""
        data = self._data()
        levels = []
        for level in climb(self.pipeline, data.frames, data.scores, self._cpp_frames(len(data.frames))):
            levels.append(level)
            self.on_level(level)
        ladder = Ladder(tuple(levels))
        for level in ladder.levels:
            if not level.ok:
                raise MismatchError(
                    f"{level.name} differs from {level.reference} in {level.frames - level.equal} of "
                    f"{level.frames} frames; first at {level.difference}"
                )
        graph = None if data.labels is None else graph_outputs(self.pipeline, data.frames)
        results = {"accuracy": facts.accuracy(self.pipeline.folded, data, graph)}
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
        found = facts.gather(build, files | {"bnn2fpga": package_digest()})
        _write_json(folder / REPORT, found)
        write_pages(folder, found)

    def deploy(self, folder: Path) -> None:
        """What is copied to the board: driver, bitstream, golden vectors; and what simulates it on a PC."""
        flow, name = self.config.flow, self.pipeline.folded.name
        built = BuiltFiles(flow)
        for step in self._bitstream():
            made = needed(folder, step)
            if flow == "vivado":
                built = BuiltFiles(flow, (made / f"{name}.bit", made / f"{name}.hwh"), "dma")
            else:
                built = BuiltFiles(flow, (made / f"{name}.bit", made / "registers.json"), "registers")
        frames = self._data().frames
        deploy(self.pipeline, frames, built, needed(folder, "load"), needed(folder, "hls"), folder)

    def _data(self) -> Dataset:
        if self.config.data is None:
            return Dataset(random_frames(self.pipeline, self.config.frames))
        shape = self.pipeline.lowered.host.input_shape
        data = load_dataset(self.config.data, shape, self.config.divide)
        if not len(data.frames):
            raise ConfigError(f"{self.config.data}: holds no frames")
        return data

    def _cpp_frames(self, frames: int) -> int:
        return max(1, min(frames, CPP_OPERATIONS // max(1, facts.operations(self.pipeline.folded))))


def _lines(values: dict[str, Any]) -> str:
    """A table of TOML; JSON writes strings, numbers and truth values the same."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def _file_digest(path: Path | None) -> str:
    """SHA-256 of a file that the user names; a missing one is found out by the step that reads it."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else ""
