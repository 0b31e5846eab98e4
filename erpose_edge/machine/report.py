"""A machine and its diagnosis as a page for people: headings, and rows of a label and a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Tuple

from erpose_edge.machine.needs import engine_name

if TYPE_CHECKING:
    from erpose_edge.machine.diagnosis import Diagnosis
    from erpose_edge.machine.facts import Machine

Page = Dict[str, List[Tuple[str, str]]]


def page(machine: Machine, diagnosis: Diagnosis) -> Page:
    """Return the rows under each heading; rows without a text are left out."""
    rows = {
        "Machine": _machine(machine),
        "Software": [*_software(machine), ("verdict", diagnosis.tested)],
        "Targets": _targets(diagnosis),
        "What to do": _to_do(diagnosis),
    }
    return {heading: [row for row in found if row[1]] for heading, found in rows.items()}


def lines(machine: Machine, diagnosis: Diagnosis) -> list[str]:
    """Return the page as lines of plain text, for boards without rich."""
    found: list[str] = []
    for heading, rows in page(machine, diagnosis).items():
        found += ["", heading] if found else [heading]
        width = max((len(label) for label, _ in rows), default=0)
        found += [f"  {label:<{width}}  {text}".rstrip() for label, text in rows]
    return found


def _machine(machine: Machine) -> list[tuple[str, str]]:
    board, around = machine.board, machine.surroundings
    part = f"{board.part_number}, by {board.part_number_from}" if board.part_number else ""
    names = ", ".join((*board.modules, board.name)).strip(", ")
    flash = f", flashed as {board.flash}" if board.flash else ""
    cpu_class = f" ({machine.cpu_class})" if machine.cpu_class else ""
    # A Raspberry Pi's kernel names the board where others name the processor.
    model = "" if machine.cpu.model == board.model else f"{machine.cpu.model}, "
    where = "" if machine.here else "not this one: read from files"
    return [
        ("root", where),
        ("board", board.model),
        ("module", f"{names}{flash}" if names else part and f"unknown{flash}"),
        ("part number", part),
        ("processor", f"{model}{machine.cpu.cores} cores{cpu_class}"),
        ("flags", " ".join(machine.cpu.flags)),
        ("VNNI", {True: "yes", False: "no", None: ""}[machine.vnni]),
        ("GPU", _gpu(machine)),
        ("memory", _memory(machine)),
        ("power mode", _power_mode(machine)),
        ("GPU clock", _gpu_clock(machine)),
        ("temperature", _temperature(machine)),
        ("cameras", "; ".join(f"{c.device} {c.name}" for c in around.cameras)),
        ("disk", "" if around.disk_free_mb is None else f"{around.disk_free_mb} MB free"),
    ]


def _software(machine: Machine) -> list[tuple[str, str]]:
    software, python = machine.software, machine.python
    bits = machine.surroundings.userland_bits
    release = f"JetPack {software.jetpack or 'unknown'} (L4T {machine.l4t})" if machine.l4t else ""
    packages = [f"{name} {version}".strip() for name, version in python.packages.items()]
    return [
        ("system", f"{software.system}{', 32-bit' if bits == 32 else ''}"),
        ("JetPack", release),
        ("CUDA", software.cuda),
        ("cuDNN", software.cudnn),
        ("TensorRT", software.tensorrt),
        ("Python", f"{python.version or 'none'}; {', '.join(packages) or 'no package of ours'}"),
    ]


def _targets(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    rows = [
        (found.target.name, f"{engine_name(found.target.engine)}: ready")
        for found in diagnosis.targets
        if found.state == "ready"
    ]
    for found in diagnosis.targets:
        if found.state == "missing":
            commands = "; ".join(need.command for need in found.remedies if need.command)
            why = ", ".join(found.reasons)
            rows.append((found.target.name, f"{why}: {commands}" if commands else why))
        elif found.state == "not served":
            rows.append((found.target.name, f"not served: {' '.join(found.reasons)}"))
    others = [found.target.name for found in diagnosis.targets if found.state == "another device"]
    return [*rows, ("other devices", ", ".join(others))]


def _to_do(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    rows = []
    for number, need in enumerate(diagnosis.to_do, 1):
        rows.append((f"{number}.", need.what))
        rows.append(("", need.command))
    rows += [("note", line) for line in diagnosis.warnings]
    return rows or [("", "nothing: everything is there")]


def _gpu(machine: Machine) -> str:
    gpu = machine.gpu
    if gpu is None:
        return ""
    words = [gpu.name]
    words += [f"compute capability {gpu.compute_capability}"] if gpu.compute_capability else []
    words += [f"{gpu.cuda_cores} CUDA cores"] if gpu.cuda_cores else []
    words += [f"driver {gpu.driver}"] if gpu.driver else []
    return ", ".join(words)


def _memory(machine: Machine) -> str:
    memory = machine.surroundings.memory
    if memory.total_mb is None:
        return ""
    free = "" if memory.available_mb is None else f", {memory.available_mb} MB available"
    swap = "" if memory.swap_mb is None else f", swap {memory.swap_mb} MB"
    return f"{memory.total_mb} MB{free}{swap}"


def _power_mode(machine: Machine) -> str:
    modes = machine.power_modes
    if modes is None:
        return ""
    current = "unknown" if modes.current is None else modes.current.name
    return f"{current}, of {', '.join(modes.names)}"


def _gpu_clock(machine: Machine) -> str:
    if not machine.clocks.gpu:
        return ""
    clock = machine.clocks.gpu[0]
    parts = [("now", clock.current_mhz), ("from", clock.lowest_mhz), ("to", clock.highest_mhz)]
    known = [f"{word} {value:.0f} MHz" for word, value in parts if value is not None]
    return f"{clock.name}: {', '.join(known)}"


def _temperature(machine: Machine) -> str:
    # PMIC-Die of a Jetson is no measurement: it is the same number on every board.
    found = [(c, name) for name, c in machine.temperatures_c.items() if name != "PMIC-Die"]
    if not found:
        return ""
    celsius, hottest = max(found)
    return f"{celsius:.0f} C in {hottest}, the hottest of {len(found)}"
