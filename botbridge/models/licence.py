"""May I use it? What a licence says to one use, decided from the licence and a few numbers: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from botbridge.models.licences import Condition, Kind, Licence, Permission
from botbridge.models.uses import Use


class State(StrEnum):
    """How a condition stands.

    Attributes:
        OPEN: It is the operator's to keep; nothing that was stated decides it.
        MET: The number that was stated keeps it.
        BROKEN: It is not kept, or it licenses nothing of this use.
    """

    OPEN = "open"
    MET = "met"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition, and how it stands."""

    condition: Condition
    state: State


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a licence says to a use.

    Attributes:
        needs_acceptance: The use has to be accepted before the model is fetched or run.
        notice: Lines that the licence wants seen.
    """

    licence: Licence
    use: Use
    permission: Permission
    findings: tuple[Finding, ...]
    needs_acceptance: bool
    notice: tuple[str, ...]

    @property
    def cited(self) -> tuple[str, ...]:
        """The ids of the texts in which this was read, each once."""
        return tuple(dict.fromkeys([*self.licence.sources, *(finding.condition.source for finding in self.findings)]))

    @property
    def broken(self) -> tuple[Condition, ...]:
        """The conditions that forbid this use."""
        return tuple(finding.condition for finding in self.findings if finding.state is State.BROKEN)


def decide(
    licence: Licence,
    use: Use,
    *,
    gate: Condition | None = None,
    monthly_users: int | None = None,
    annual_revenue_usd: int | None = None,
) -> Verdict:
    """Decide what a licence says to a use.

    Args:
        licence: Of the model.
        use: What the model is for.
        gate: What the hub asks before it gives the files; None where it gives them to everybody.
        monthly_users: People a month, of all products of the operator and of those that belong to them; None is not
            stated, and leaves such a ceiling open.
        annual_revenue_usd: Likewise, in US dollars a year.
    """
    stated = {Kind.USER_CEILING: monthly_users, Kind.REVENUE_CEILING: annual_revenue_usd}
    asked = (*(() if gate is None else (gate,)), *licence.concerning(use))
    findings = tuple(Finding(condition, _state(condition, stated.get(condition.kind))) for condition in asked)
    return Verdict(
        licence=licence,
        use=use,
        permission=_permission(licence.uses[use], findings, is_gated=gate is not None),
        findings=findings,
        needs_acceptance=licence.needs_acceptance or gate is not None,
        notice=licence.shown,
    )


def _state(condition: Condition, stated: int | None) -> State:
    if condition.forbids:
        return State.BROKEN
    if condition.ceiling is None or stated is None:
        return State.OPEN
    is_within = stated < condition.ceiling or (stated == condition.ceiling and condition.ceiling_is_licensed)
    return State.MET if is_within else State.BROKEN


def _permission(said: Permission, findings: tuple[Finding, ...], *, is_gated: bool) -> Permission:
    """A number or a gate makes a licence stricter, never laxer."""
    if any(finding.state is State.BROKEN for finding in findings):
        return Permission.NOT_ALLOWED
    if is_gated and said is Permission.ALLOWED:
        return Permission.CONDITIONAL
    return said
