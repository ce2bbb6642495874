"""Shows what real place and route made of whole designs, beside what was planned, and fits the planner to it.

Each FOLDER is a build with --flow openxc7; what it tells is kept in routed.json, in place of an earlier build
of the same plan. The LUTs around a core, and the places that a LUT of the estimate takes, are fitted to all
rows; bnn2fpga/planning/limits.py has them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

KEPT = Path(__file__).with_name("routed.json")
Row = dict[str, Any]


def read(folder: Path) -> Row:
    """What a build found; places are for a LUT, or for two small ones."""

    def facts(step: str, name: str) -> Any:
        return json.loads(next(folder.glob(f"[0-9][0-9]-{step}/{name}")).read_text())

    plan, made, routed = (
        facts(step, f"{name}.json")
        for step, name in (("fold", "estimate"), ("synthesis", "synthesis"), ("route", "route"))
    )
    slowest = min(routed["clocks"], key=lambda clock: clock["fmax_mhz"])
    wires = [hop["ns"] for hop in slowest["path"] if hop["kind"] == "wire"]
    return {
        "design": plan["design"],
        "board": plan["board"],
        "interval": plan["frame_cycles"],
        "widest_beat": max(fifo["bits"] for fifo in plan["fifos"]),
        "planned_luts": plan["total"]["luts"] + plan["total"]["lutrams"],
        "yosys_luts": made["luts"] + made["lutram_luts"],
        "places": routed["lut_places"],
        "mhz": slowest["fmax_mhz"],
        "cells_ns": round(sum(hop["ns"] for hop in slowest["path"]) - sum(wires), 1),
        "wires_ns": round(sum(wires), 1),
        "longest_wire_ns": max(wires, default=0.0),
        "tool": routed["tool"],
        "seed": routed["seed"],
    }


def fit(rows: list[Row]) -> tuple[float, float]:
    """Places for a planned LUT, and LUTs of the frame around each core; relative deviations are least."""
    places = np.array([row["places"] for row in rows], float)
    columns = np.array([[row["planned_luts"], 1.0] for row in rows])
    slope, frame = nnls(columns / places[:, None], np.ones(len(rows)))[0]
    return float(slope), float(frame / slope)


def table(rows: list[Row]) -> str:
    """In Markdown."""
    slope, frame = fit(rows)
    lines = [
        "| design | clocks a frame | widest beat | LUT planned | by yosys | places | off plan, % "
        "| routed, MHz | frames/s at it | cells + wires, ns | seed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        off = row["places"] / (slope * (row["planned_luts"] + frame)) - 1
        fps = 1e6 * row["mhz"] / row["interval"]
        lines.append(
            f"| {row['design']} | {row['interval']:,} | {row['widest_beat']} | {row['planned_luts']:,} "
            f"| {row['yosys_luts']:,} | {row['places']:,} | {100 * off:+.1f} | {row['mhz']:.1f} | {fps:,.0f} "
            f"| {row['cells_ns']} + {row['wires_ns']} | {row['seed']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Takes in new builds, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routed", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="A finished build.")
    arguments = parser.parse_args()
    rows: list[Row] = json.loads(KEPT.read_text()) if KEPT.is_file() else []
    known = {(row["design"], row["interval"], row["tool"]): row for row in rows}
    for row in map(read, arguments.folders):
        known[row["design"], row["interval"], row["tool"]] = row
    rows = sorted(known.values(), key=lambda row: (row["design"], row["interval"], row["tool"]))
    KEPT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(table(rows))
    slope, frame = fit(rows)
    print(f"\n{slope:.2f} places for a LUT that is planned; {frame:,.0f} LUTs around each core")


if __name__ == "__main__":
    main()
