"""Processors are known by their flags; Arm designs by their numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.machine.cpu import architecture, count_processors, cpu_facts, parse_cpuinfo

ARM = "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0b\n"


def test_flags_of_interest_are_read_from_cpuinfo():
    x86 = "model name\t: Some CPU @ 3 GHz\nflags\t\t: fpu avx2 avx_vnni amx_int8 ht\n" * 2
    assert parse_cpuinfo(x86) == ("Some CPU @ 3 GHz", ("avx2", "avx_vnni", "amx_int8"))
    assert parse_cpuinfo(ARM) == ("Cortex-A76", ("asimd", "asimddp"))
    assert parse_cpuinfo("") == ("", ())


def test_a_board_s_name_comes_before_the_design_and_numbers_come_last():
    assert parse_cpuinfo(ARM + "Model : Raspberry Pi 5\n")[0] == "Raspberry Pi 5"
    unknown = ARM.replace("0xd0b", "0xfff")
    assert parse_cpuinfo(unknown)[0] == "Arm implementer 0x41 part 0xfff"


def test_an_instruction_set_is_no_model():
    text = "model name : ARMv8 Processor rev 0 (v8l)\nCPU implementer : 0x4e\nCPU part : 0x004\n"
    assert parse_cpuinfo(text)[0] == "Carmel"


def test_processors_are_counted():
    assert count_processors("processor : 0\n\nprocessor\t: 1\nmodel name : a processor\n") == 2


def test_a_32_bit_kernel_is_told_by_its_flags(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("Features : half thumb vfpv4 neon\n")
    assert architecture(tmp_path) == "armv7l"


def test_this_machine_has_a_name_and_cores():
    facts = cpu_facts()
    assert facts.model
    assert facts.threads == facts.cores >= 1
    assert cpu_facts(3).to_json()["threads"] == 3


@given(st.text(max_size=300))
def test_any_text_is_read(text):
    model, flags = parse_cpuinfo(text)
    assert isinstance(model, str)
    assert isinstance(flags, tuple)
    assert count_processors(text) >= 0
