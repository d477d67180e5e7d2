"""The phases of an exam and their times in words. Only the module file imports it."""

from __future__ import annotations

from slicer.i18n import tr as _

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.mrml_bridge import parse_times, phase_times


def describe_phases(nodes: list, timesText: str, acceptNoTimes: bool) -> str:
    """The phases with the times they will be used with, or what is missing. nodes: one sequence, or the volumes."""
    volumes = not nodes[0].IsA("vtkMRMLSequenceNode")
    try:
        times, timing = phase_times(nodes, parse_times(timesText), acceptNoTimes)
    except InputError as error:
        lines = [str(error)]
        if volumes:
            lines += [_("{number}. {volume}").format(number=i + 1, volume=n.GetName()) for i, n in enumerate(nodes)]
        return "\n".join(lines)
    if not timing.known:
        return _("{count} phases in the order of the list, times not known: no slopes per minute").format(
            count=len(times)
        )
    if volumes:
        return "\n".join(
            _("{volume}: {time} s").format(volume=node.GetName(), time=f"{time:g}")
            for node, time in zip(nodes, times, strict=True)
        )
    listed = ", ".join(f"{time - min(times):g}" for time in times)
    return _("{count} phases at {times} s (from {source})").format(count=len(times), times=listed, source=timing.source)
