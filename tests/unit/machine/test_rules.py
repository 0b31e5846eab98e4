"""Every rule of the registry fires where it must, and not where it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from erpose_edge.deploy.registry import load_registry
from erpose_edge.machine.rules import Effect, Rule, Situation, When, decide

REGISTRY = load_registry()
RULES = {rule.name: rule for rule in REGISTRY.rules}

ORIN_NX = Situation(
    engine="tensorrt",
    family="orin-nx",
    generation="orin",
    architecture="aarch64",
    system="linux",
    precision="int8",
    contract="compact",
    tensorrt="10.3.0.30",
    jetpack="6.2",
    python="3.10",
    cpu_flags=("asimd", "asimddp"),
)
AGX_ORIN = replace(ORIN_NX, family="agx-orin")
ORIN_NANO = replace(ORIN_NX, family="orin-nano")
AGX_722 = replace(AGX_ORIN, tensorrt="11.4.1", jetpack="7.2.2", python="3.12")
XAVIER = replace(ORIN_NX, family="xavier-nx", generation="xavier", tensorrt="8.5.2", jetpack="5.1")
THOR = replace(ORIN_NX, family="thor", generation="thor", tensorrt="10.16", jetpack="7.2")
TX2 = replace(
    ORIN_NX, family="tx2", generation="tx2", tensorrt="8.2.1", jetpack="4.6.1", python="3.6"
)
NANO = replace(TX2, family="nano", generation="nano")
CARD = Situation(
    engine="tensorrt", family="", generation="", architecture="x86_64", system="linux",
    precision="int8", contract="compact", tensorrt="11.2", jetpack="", python="3.12",
    cpu_flags=("avx2", "avx_vnni"),
)  # fmt: skip
PC = replace(CARD, engine="openvino", tensorrt="", cpu_flags=("avx2", "fma"))
AMX = replace(PC, cpu_flags=("avx2", "avx512_vnni", "amx_int8", "amx_bf16"), precision="fp32")
PI4 = replace(ORIN_NX, engine="tflite", family="", generation="", tensorrt="", jetpack="",
              cpu_flags=("asimd",))  # fmt: skip
PI5 = replace(PI4, cpu_flags=("asimd", "asimddp"))
PHONE = replace(PI5, system="android")


def at(situation, **changes):
    return replace(situation, **changes)


# By rule: situations in which it must fire, and situations in which it must not.
CASES = {
    "tensorrt-before-8.5": ([NANO, at(XAVIER, tensorrt="8.4.1")], [XAVIER, ORIN_NX, PC]),
    "python-before-3.8": ([NANO], [at(XAVIER, python="3.8"), PC]),
    "nano-and-tx2-stop-at-jetpack-4": ([at(NANO, jetpack="5.1.1"), at(TX2, jetpack="6.2")],
                                       [NANO, TX2, XAVIER]),
    "xavier-stops-at-jetpack-5": ([at(XAVIER, jetpack="6.0")],
                                  [at(XAVIER, jetpack="5.1.6"), ORIN_NX]),
    "orin-since-jetpack-5": ([at(ORIN_NX, jetpack="4.6.6")],
                             [at(ORIN_NX, jetpack="5.0"), ORIN_NX, TX2]),
    "orin-not-on-jetpack-7.0-and-7.1": ([at(ORIN_NX, jetpack="7.1")],
                                        [at(ORIN_NX, jetpack="7.2"), ORIN_NX,
                                         at(THOR, jetpack="7.1")]),
    "thor-since-jetpack-7": ([at(THOR, jetpack="6.2")], [THOR, ORIN_NX]),
    "tensorrt-11.0-to-11.3-not-on-jetpack": ([at(AGX_722, tensorrt="11.0"),
                                              at(THOR, tensorrt="11.3.9")],
                                             [AGX_722, THOR, CARD]),
    "tensorrt-11.4-needs-jetpack-7.2.2": ([at(AGX_722, jetpack="7.2")],
                                          [AGX_722, at(CARD, tensorrt="11.4.1"), THOR]),
    "tensorrt-11.4-names-agx-orin-and-thor": ([at(AGX_722, family="orin-nx"),
                                               at(AGX_722, family="orin-nano")],
                                              [AGX_722, ORIN_NX]),
    "thor-has-no-dla": ([THOR, at(THOR, tensorrt="11.4.1", jetpack="7.2.2")], [AGX_722, XAVIER]),
    "orin-nano-nano-and-tx2-have-no-dla": ([ORIN_NANO, NANO, TX2], [ORIN_NX, AGX_ORIN, XAVIER]),
    "dla-until-tensorrt-10.7": ([ORIN_NX, XAVIER, at(AGX_ORIN, tensorrt="10.7.1")],
                                [at(ORIN_NX, tensorrt="10.8"), THOR, ORIN_NANO, CARD]),
    "no-dla-in-tensorrt-10.8-and-later": ([at(AGX_ORIN, tensorrt="10.8.0"),
                                           at(ORIN_NX, tensorrt="10.16")],
                                          [at(ORIN_NX, tensorrt="10.7.9"), ORIN_NX, AGX_722]),
    "no-dla-in-tensorrt-11.0-to-11.3": ([at(AGX_722, tensorrt="11.0"),
                                         at(AGX_722, tensorrt="11.3"),
                                         at(AGX_722, tensorrt="11.4.0")],
                                        [AGX_722, at(AGX_ORIN, tensorrt="10.16"), CARD]),
    "dla-again-on-agx-orin": ([AGX_722, at(AGX_722, tensorrt="11.5", jetpack="7.3")],
                              [at(AGX_722, jetpack="7.2.1"), at(AGX_722, tensorrt="11.4.0"),
                               at(AGX_722, family="orin-nx"), THOR]),
    "dla-again-not-before-jetpack-7.2.2": ([at(AGX_722, jetpack="7.2.1")], [AGX_722, ORIN_NX]),
    "dla-of-orin-nx-unconfirmed": ([at(AGX_722, family="orin-nx")],
                                   [AGX_722, ORIN_NX, at(AGX_722, family="orin-nano")]),
    "dla-only-where-measured": ([ORIN_NX, XAVIER], [THOR, ORIN_NANO, PC]),
    "no-int8-on-nano-and-tx2": ([NANO, TX2], [XAVIER, ORIN_NANO, at(NANO, engine="tflite")]),
    "decoded-with-tensorrt-10.3": ([ORIN_NX, at(AGX_ORIN, precision="mixed")],
                                   [at(ORIN_NX, precision="fp16"), at(ORIN_NX, contract="decoded"),
                                    at(ORIN_NX, contract="raw"), at(ORIN_NX, tensorrt="8.6.2"),
                                    at(ORIN_NX, tensorrt="10.4"), CARD,
                                    at(ORIN_NX, tensorrt="10.16", jetpack="7.2"), THOR]),
    "fp16-where-int8-is-not-faster": ([ORIN_NX, THOR], [at(THOR, precision="fp16"), NANO, CARD]),
    "orin-nx-int8-was-slower": ([ORIN_NX], [at(ORIN_NX, precision="fp16"), AGX_ORIN]),
    "thor-fp16-first": ([THOR], [AGX_ORIN, XAVIER]),
    "opset-17-with-tensorrt-8": ([XAVIER, at(ORIN_NX, tensorrt="8.6.2")], [ORIN_NX, NANO]),
    "typed-graphs-with-tensorrt-11": ([AGX_722, CARD], [ORIN_NX, XAVIER]),
    "zero-point-0": ([ORIN_NX, CARD], [at(CARD, precision="fp16"), PC]),
    "engine-on-the-device": ([ORIN_NX, CARD], [PC, PI5]),
    "super-is-a-configuration": ([ORIN_NX, ORIN_NANO], [AGX_ORIN, XAVIER]),
    "memory-of-a-small-board": ([ORIN_NANO], [ORIN_NX, PI4]),
    "no-vnni": ([PC, at(PC, engine="onnxruntime")],
                [at(PC, cpu_flags=("avx2", "avx_vnni")), at(PC, cpu_flags=("avx512_vnni",)),
                 AMX, at(PI5, engine="openvino"), at(PC, engine="tflite")]),
    "amx-computes-fp32-in-bf16": ([AMX], [PC, at(AMX, precision="int8"),
                                          at(AMX, engine="onnxruntime")]),
    "arm-without-dotprod": ([PI4, at(PI4, engine="openvino")], [PI5, PC, ORIN_NX]),
    "flags-not-names": ([PC], [PI5, CARD]),
    "litert-is-64-bit": ([at(PI4, architecture="armv7l")], [PI4, PI5,
                                                            at(PC, architecture="armv7l")]),
    "tflite-runtime-is-dead": ([PI5], [PHONE, PC]),
    "nnapi-is-deprecated": ([PHONE], [PI5, at(PHONE, engine="onnxruntime")]),
}  # fmt: skip


def test_every_rule_has_a_case():
    assert sorted(CASES) == sorted(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_fires_where_it_must_and_nowhere_else(name):
    fires, silent = CASES[name]
    assert fires and silent
    assert [situation for situation in fires if RULES[name].applies(situation) is not True] == []
    assert [situation for situation in silent if RULES[name].applies(situation) is not False] == []


@pytest.mark.parametrize("rule", REGISTRY.rules, ids=lambda rule: rule.name)
def test_no_condition_of_a_rule_is_idle(rule):
    """Where all conditions but one are known, the rule is open and names that one."""
    fires = CASES[rule.name][0][0]
    for condition in ("engine", "family", "generation", "tensorrt", "jetpack", "cpu_flags"):
        asked = bool(getattr(rule.when, condition, ())) or (
            condition == "cpu_flags" and bool(rule.when.cpu_has or rule.when.cpu_lacks)
        )
        unknown = replace(fires, **{condition: None})
        assert rule.applies(unknown) is (None if asked else True)
        assert rule.when.open_conditions(unknown) == ((condition,) if asked else ())


DLA = [
    (XAVIER, "yes"),
    (ORIN_NX, "yes"),
    (AGX_ORIN, "yes"),
    (at(AGX_ORIN, tensorrt="10.16", jetpack="7.2"), "no"),
    (at(AGX_722, tensorrt="11.2"), "no"),
    (AGX_722, "yes"),
    (at(AGX_722, jetpack="7.2"), "no"),
    (at(AGX_722, family="orin-nx"), "unconfirmed"),
    (ORIN_NANO, "no"),
    (THOR, "no"),
    (at(THOR, tensorrt="11.4.1", jetpack="7.2.2"), "no"),
    (CARD, None),
    (PC, None),
]


@pytest.mark.parametrize(("situation", "dla"), DLA)
def test_all_rules_together_say_where_there_is_dla(situation, dla):
    assert REGISTRY.decide(situation).dla == dla


def test_all_rules_together_say_what_else_follows():
    assert REGISTRY.decide(ORIN_NX).contract == "decoded"
    assert REGISTRY.decide(NANO).no_precisions == ("int8", "mixed")
    assert len(REGISTRY.decide(NANO).not_served) == 2
    assert REGISTRY.decide(THOR).prefer == "fp16"
    assert REGISTRY.decide(PHONE).avoid == ("nnapi",)
    pc = REGISTRY.decide(PC)
    assert (pc.prefer, pc.saturates, pc.not_served) == ("fp32", True, ())
    assert {rule.name for rule in REGISTRY.rules_for(PC)} == {"no-vnni", "flags-not-names"}


def test_a_rule_about_something_unknown_is_told_apart():
    decision = REGISTRY.decide(replace(PC, cpu_flags=None))
    assert "no-vnni" in {rule.name for rule in decision.open_rules}
    assert decision.prefer == ""


def test_the_last_rule_wins_and_no_dla_wins_over_dla():
    def rule(name, **effect):
        return Rule(name, "s.", When(), Effect(**effect), "here")

    rules = (
        rule("a", prefer="fp32", dla="yes"),
        rule("b", prefer="fp16", dla="no"),
        rule("c", dla="unconfirmed", contract="raw"),
    )
    decision = decide(rules, Situation())
    assert (decision.prefer, decision.dla, decision.contract) == ("fp16", "no", "raw")


@pytest.mark.parametrize("rule", REGISTRY.rules, ids=lambda rule: rule.name)
def test_a_rule_is_a_sentence_with_a_source(rule):
    assert rule.says.endswith(".")
    assert rule.source
    assert rule.effect.names()
