"""May I use it: every clause that a person has to know, and the numbers that decide."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.models.catalogue import load_catalogue
from botbridge.models.licence import State, decide
from botbridge.models.licences import Kind, Licence, Permission, load_licences
from botbridge.models.uses import Use

LICENCES = load_licences()

PERMISSIONS = [
    ("Apache-2.0", "allowed", "allowed", "conditional"),
    ("MIT", "allowed", "allowed", "conditional"),
    ("gpt2-modified-mit", "allowed", "allowed", "conditional"),
    ("llama2", "conditional", "conditional", "conditional"),
    ("llama3.2", "conditional", "conditional", "conditional"),
    ("gemma", "conditional", "conditional", "conditional"),
    ("opt-175b", "conditional", "not allowed", "not allowed"),
    ("bigscience-rail-1.0", "conditional", "conditional", "conditional"),
    ("bigscience-openrail-m", "conditional", "conditional", "conditional"),
    ("lfm1.0", "allowed", "conditional", "conditional"),
    ("falcon-llm-license", "unknown", "unknown", "unknown"),
    ("CC-BY-NC-4.0", "conditional", "not allowed", "not allowed"),
    ("qwen-research", "conditional", "not allowed", "not allowed"),
    ("tongyi-qianwen", "conditional", "conditional", "conditional"),
]

# What each clause is about, and the narrowest use that it concerns.
CLAUSES = [
    ("Apache-2.0", "3", "termination", "personal"),
    ("Apache-2.0", "4(a)", "share terms", "embed"),
    ("Apache-2.0", "4(b)", "notice", "embed"),
    ("Apache-2.0", "4(c)", "notice", "saas"),
    ("Apache-2.0", "4(d)", "notice", "embed"),
    ("Apache-2.0", "6", "trademark", "personal"),
    ("Apache-2.0", "7-8", "liability", "personal"),
    ("MIT", "paragraph 2", "notice", "embed"),
    ("MIT", "paragraph 3", "liability", "personal"),
    ("gpt2-modified-mit", "preamble", "disclosure", "personal"),
    ("gpt2-modified-mit", "paragraph 2", "notice", "embed"),
    ("llama2", "preamble", "registration", "personal"),
    ("llama2", "1.b.i", "share terms", "embed"),
    ("llama2", "1.b.iii", "notice", "embed"),
    ("llama2", "1.b.iv", "field of use", "personal"),
    ("llama2", "1.b.iv", "export", "personal"),
    ("llama2", "1.b.v", "field of use", "personal"),
    ("llama2", "2", "user ceiling", "personal"),
    ("llama2", "5.a", "trademark", "personal"),
    ("llama2", "5.c", "termination", "personal"),
    ("llama2", "5.c", "liability", "personal"),
    ("llama2", "6", "termination", "personal"),
    ("llama2", "policy 3.5", "disclosure", "saas"),
    ("llama3.2", "1.b.i(A)", "share terms", "embed"),
    ("llama3.2", "1.b.i(B)", "notice", "saas"),
    ("llama3.2", "1.b.i", "naming", "saas"),
    ("llama3.2", "1.b.iii", "notice", "embed"),
    ("llama3.2", "1.b.iv", "field of use", "personal"),
    ("llama3.2", "1.b.iv", "export", "personal"),
    ("llama3.2", "2", "user ceiling", "personal"),
    ("llama3.2", "policy 3", "disclosure", "saas"),
    ("llama3.2", "policy 4", "disclosure", "saas"),
    ("llama3.2", "policy, last part", "field of use", "personal"),
    ("gemma", "2.2", "field of use", "personal"),
    ("gemma", "3.2", "field of use", "personal"),
    ("gemma", "3.2", "control", "personal"),
    ("gemma", "1.1(e)", "share terms", "personal"),
    ("gemma", "3.1(1), 1.1(b)", "share terms", "saas"),
    ("gemma", "3.1(2)", "share terms", "saas"),
    ("gemma", "3.1(3)", "notice", "embed"),
    ("gemma", "3.1(4)", "notice", "embed"),
    ("opt-175b", "1.a", "research only", "personal"),
    ("opt-175b", "2.a(i)", "research only", "saas"),
    ("opt-175b", "2.a(ii)-(iv)", "field of use", "personal"),
    ("opt-175b", "2.a(vi)", "export", "personal"),
    ("opt-175b", "3", "notice", "embed"),
    ("opt-175b", "6", "liability", "personal"),
    ("opt-175b", "7.a", "termination", "personal"),
    ("opt-175b", "1.a, 7.b", "control", "personal"),
    ("bigscience-rail-1.0", "4(1)", "share terms", "saas"),
    ("bigscience-rail-1.0", "4(2)", "share terms", "saas"),
    ("bigscience-rail-1.0", "4(3)", "notice", "embed"),
    ("bigscience-rail-1.0", "4(4)", "notice", "embed"),
    ("bigscience-rail-1.0", "5", "share terms", "saas"),
    ("bigscience-rail-1.0", "5, Attachment A", "field of use", "personal"),
    ("bigscience-rail-1.0", "6", "liability", "personal"),
    ("bigscience-rail-1.0", "7", "control", "personal"),
    ("bigscience-rail-1.0", "Attachment A 5", "disclosure", "personal"),
    ("bigscience-rail-1.0", "Attachment A 8", "field of use", "personal"),
    ("bigscience-rail-1.0", "Attachment A 12", "field of use", "personal"),
    ("bigscience-rail-1.0", "Attachment A 13", "field of use", "personal"),
    ("bigscience-openrail-m", "4.a", "share terms", "saas"),
    ("bigscience-openrail-m", "Attachment A (e)", "disclosure", "personal"),
    ("lfm1.0", "5(a)-(b)", "revenue ceiling", "saas"),
    ("lfm1.0", "5(c)", "field of use", "saas"),
    ("lfm1.0", "4(c)", "notice", "embed"),
    ("CC-BY-NC-4.0", "2(a)(1), 1(i)", "field of use", "personal"),
    ("CC-BY-NC-4.0", "2(a)(1)", "field of use", "saas"),
    ("CC-BY-NC-4.0", "3(a)(1)", "notice", "personal"),
    ("qwen-research", "2.a, 1.i", "research only", "personal"),
    ("qwen-research", "2.b", "research only", "saas"),
    ("qwen-research", "3.c", "notice", "embed"),
    ("tongyi-qianwen", "3", "share terms", "embed"),
    ("tongyi-qianwen", "4", "user ceiling", "personal"),
    ("tongyi-qianwen", "5.b", "field of use", "personal"),
]


@pytest.mark.parametrize(("licence", "personal", "saas", "embed"), PERMISSIONS, ids=[row[0] for row in PERMISSIONS])
def test_what_a_licence_says_to_each_use(licence: str, personal: str, saas: str, embed: str) -> None:
    found = LICENCES.find(licence)
    assert [decide(found, use).permission for use in Use] == [personal, saas, embed]


def test_every_licence_that_was_read_is_in_the_table() -> None:
    assert {row[0] for row in PERMISSIONS} == {licence.id for licence in LICENCES.entries}


def test_every_licence_of_the_catalogue_was_read() -> None:
    read = {licence.id for licence in LICENCES.entries}
    assert {entry.licence for entry in load_catalogue().entries} - read == set()


@pytest.mark.parametrize(("licence", "clause", "kind", "since"), CLAUSES, ids=lambda part: part.replace(" ", "-"))
def test_a_clause_is_told_from_the_use_on_that_it_concerns(licence: str, clause: str, kind: str, since: str) -> None:
    found = LICENCES.find(licence)
    told = [
        use
        for use in Use
        if any((each.condition.clause, each.condition.kind) == (clause, kind) for each in decide(found, use).findings)
    ]
    assert told == [use for use in Use if use.includes(Use(since))]


def test_a_commercial_service_with_mistral_7b_keeps_the_notice_and_uses_no_trademark() -> None:
    """S10: Mistral-7B-Instruct is under Apache-2.0."""
    verdict = decide(LICENCES.find("Apache-2.0"), Use.SAAS)
    assert verdict.permission is Permission.ALLOWED
    assert not verdict.needs_acceptance
    assert {each.condition.kind for each in verdict.findings} >= {Kind.NOTICE, Kind.TRADEMARK}


def test_a_commercial_service_with_llama_2_7b_chat_accepts_registers_and_keeps_export_limits() -> None:
    """S10; its repository is gated."""
    verdict = decide(LICENCES.find("llama2"), Use.SAAS, gate=LICENCES.gate)
    assert verdict.permission is Permission.CONDITIONAL
    assert verdict.needs_acceptance
    kinds = [each.condition.kind for each in verdict.findings]
    assert kinds.count(Kind.REGISTRATION) == 2  # the hub's, and the agreement's own
    assert {Kind.USER_CEILING, Kind.EXPORT} <= set(kinds)


@pytest.mark.parametrize("licence", ["llama2", "llama3.2"])
@pytest.mark.parametrize(
    ("users", "permission", "state"),
    [
        (None, "conditional", "open"),
        (0, "conditional", "met"),
        (700_000_000, "conditional", "met"),
        (700_000_001, "not allowed", "broken"),
    ],
)
@pytest.mark.parametrize("use", list(Use))
def test_more_than_700_million_people_a_month_are_excluded(
    licence: str, users: int | None, permission: str, state: str, use: Use
) -> None:
    verdict = decide(LICENCES.find(licence), use, monthly_users=users, annual_revenue_usd=10**12)
    assert verdict.permission == permission
    assert [each.state for each in verdict.findings if each.condition.kind is Kind.USER_CEILING] == [state]
    assert [each.clause for each in verdict.broken] == (["2"] if state == "broken" else [])


@pytest.mark.parametrize(
    ("use", "revenue", "permission"),
    [
        ("personal", 10**9, "allowed"),
        ("saas", None, "conditional"),
        ("saas", 9_999_999, "conditional"),
        ("saas", 10_000_000, "not allowed"),
        ("embed", 10_000_001, "not allowed"),
    ],
)
def test_lfm_serves_businesses_below_ten_million_dollars(use: str, revenue: int | None, permission: str) -> None:
    verdict = decide(LICENCES.find("lfm1.0"), Use(use), annual_revenue_usd=revenue, monthly_users=10**9)
    assert verdict.permission == permission


@pytest.mark.parametrize(("users", "permission"), [(100_000_000, "conditional"), (100_000_001, "not allowed")])
def test_each_licence_has_its_own_ceiling(users: int, permission: str) -> None:
    assert decide(LICENCES.find("tongyi-qianwen"), Use.SAAS, monthly_users=users).permission == permission


def test_opt_must_not_serve_and_the_clause_says_why() -> None:
    verdict = decide(LICENCES.find("opt-175b"), Use.SAAS)
    assert verdict.permission is Permission.NOT_ALLOWED
    assert [each.clause for each in verdict.broken] == ["2.a(i)"]


def test_a_gate_makes_a_free_licence_conditional_and_asks_for_acceptance() -> None:
    verdict = decide(LICENCES.find("Apache-2.0"), Use.PERSONAL, gate=LICENCES.gate)
    assert (verdict.permission, verdict.needs_acceptance) == (Permission.CONDITIONAL, True)
    assert verdict.findings[0].condition.kind is Kind.REGISTRATION


def test_a_licence_that_nobody_read_is_unknown_for_every_use_and_has_to_be_accepted() -> None:
    unread = LICENCES.find("somebodys-own-1.0")
    verdicts = [decide(unread, use) for use in Use]
    assert {verdict.permission for verdict in verdicts} == {Permission.UNKNOWN}
    assert all(verdict.needs_acceptance for verdict in verdicts)
    assert unread.note is not None
    assert "lawyer" in unread.note


def test_falcon_is_left_to_a_lawyer() -> None:
    note = LICENCES.find("falcon-llm-license").note
    assert note is not None
    assert "have a lawyer read" in note


def test_what_is_shown_is_what_the_licence_words() -> None:
    assert decide(LICENCES.find("llama3.2"), Use.SAAS).notice[0] == "Built with Llama"
    assert decide(LICENCES.find("gemma"), Use.SAAS).notice == (
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
    )
    assert decide(LICENCES.find("Apache-2.0"), Use.EMBED).notice == ()


numbers = st.none() | st.integers(0, 2 * 10**9)


@given(
    licence=st.sampled_from([*LICENCES.entries, LICENCES.find("somebodys-own-1.0")]),
    gated=st.booleans(),
    users=numbers,
    revenue=numbers,
)
def test_a_wider_use_is_never_laxer_and_a_number_never_helps(
    licence: Licence, gated: bool, users: int | None, revenue: int | None
) -> None:
    gate = LICENCES.gate if gated else None
    verdicts = [decide(licence, use, gate=gate, monthly_users=users, annual_revenue_usd=revenue) for use in Use]
    for narrow, wide in pairwise(verdicts):
        assert narrow.permission.strictness <= wide.permission.strictness
        assert set(narrow.findings) <= set(wide.findings)
    for use, verdict in zip(Use, verdicts, strict=True):
        unstated = decide(licence, use, gate=gate)
        assert unstated.permission.strictness <= verdict.permission.strictness
        assert (verdict.permission is Permission.NOT_ALLOWED) == any(
            each.state is State.BROKEN for each in verdict.findings
        )
