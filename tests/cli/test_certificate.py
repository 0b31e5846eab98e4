"""``erpose-edge certificate``: exit codes and words."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from small_certificate import write_certificate

from erpose_edge.cli.app import main
from erpose_edge.schemas import load_schema

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("certificate"))


def run(*words):
    return main(["certificate", *map(str, words)])


def test_a_genuine_one_ends_with_0_and_an_altered_one_with_6_and_one_line(path, tmp_path, capsys):
    assert run("verify", path, "--artifact", path.parent / "int8") == 0
    assert "genuine as far as it can be told" in capsys.readouterr().out
    document = json.loads(path.read_text())
    document["latency"]["int8"]["turns"]["end_to_end_ms"]["p99"] = 1.0
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(document))
    report = tmp_path / "junit.xml"
    assert run("verify", altered, "--json", "--junit", report) == 6
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {altered}: latency.int8.turns: end_to_end_ms.p99: expected")
    assert len(err.splitlines()) == 1
    found = json.loads(out)
    schema = load_schema("certificate-verify")
    assert [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(found)] == []
    assert found["genuine"] is False
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert int(suite.get("failures")) == sum(c["error"] is not None for c in found["checks"]) == 2
    assert run("show", altered) == run("compare", altered, path) == 6


@pytest.mark.parametrize(
    ("limit", "code", "reason"),
    [
        (("--gate",), 0, "verdict: pass"),
        (("--min-retention", "0.999"), 3, "int8: retention: expected at least 99.90%"),
        (("--max-p99-ms", "1"), 4, "int8: p99: expected at most 1 ms"),
        (("--min-int8-share", "0.9"), 5, "int8: int8 share: expected at least 90.0% of the int8"),
        (("--max-jitter", "1"), 0, "jitter was not judged: no clip was measured"),
    ],
)
def test_a_limit_judges_again_and_names_the_number_that_missed(path, capsys, limit, code, reason):
    assert run("verify", path, *limit) == code
    assert reason in capsys.readouterr().out


def test_a_missed_limit_is_a_failed_test_case(path, tmp_path, capsys):
    report = tmp_path / "made" / "junit.xml"
    assert run("verify", path, "--max-p99-ms", "1", "--junit", report) == 4
    cases = {case.get("name"): case.find("failure") for case in
             ElementTree.parse(report).getroot().iter("testcase")}  # fmt: skip
    assert cases["max_p99_ms 1"].get("message").startswith("int8: p99: expected")
    assert cases["min_retention 0.5"] is None
    assert cases["seal"] is None


def test_compare_and_show_print_lines_and_documents(path, capsys):
    assert run("compare", path, path) == 0
    out = capsys.readouterr().out
    assert "int8, in turns: p50 1.000 x, p90 1.000 x, p99 1.000 x" in out
    assert "note: latencies of two runs" in out
    assert run("show", path) == 0
    out = capsys.readouterr().out
    assert "int8 layers: 2 fp32 on cpu, 2 int8 on cpu; 66.7% of the int8 convolutions" in out
    assert out.splitlines()[-1] == "verdict: pass"
    assert run("show", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["certificate"] == 2


def test_what_was_signed_is_verified_with_the_public_key(path, tmp_path, capsys):
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem, public = tmp_path / "key.pem", tmp_path / "key.pub"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pem.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    copy = tmp_path / "certificate.json"
    copy.write_bytes(path.read_bytes())
    assert run("verify", copy, "--key", public) == 6
    assert "signature: expected certificate.json.sig" in capsys.readouterr().err
    assert run("sign", copy, "--key", pem) == 0
    assert "signed by SHA256:" in capsys.readouterr().out
    assert run("verify", copy, "--key", public) == 0
