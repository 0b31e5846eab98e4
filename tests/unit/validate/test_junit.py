"""JUnit XML that any reader takes, whatever a message holds."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import RequestError
from erpose_edge.validate.certificate.verify import Check
from erpose_edge.validate.junit import junit_xml, write_junit


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=5), st.text())
def test_it_is_xml_with_a_case_for_each_check(entries, note):
    text = junit_xml("suite", [Check(*entry) for entry in entries], [note])
    suite = ElementTree.fromstring(text).find("testsuite")
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == len(entries)
    failed = [case.find("failure") is not None for case in cases]
    assert failed == [error is not None for _, error in entries]
    assert int(suite.get("failures")) == sum(failed)


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="expected to write the JUnit report, got"):
        write_junit(tmp_path / "file" / "junit.xml", "suite", [])
