"""All attacks, and the summary of a run."""
from collections import Counter

from . import bombs, importing, inspection, links, loops, network, notebooks, output, reading, replies, state, tampering, writing
from .base import adopting, try_judge

FAMILIES = (tampering, reading, importing, writing, links, network, bombs, loops, output, replies, inspection, state, notebooks)
ATTACKS = [a for family in FAMILIES for a in family.ATTACKS]


def summary(grade, grade_folder, attacks=ATTACKS, progress=iter):
    """Try attacks on a judge: counts in all, by family, and the names of those that gained, changed, stopped or survived."""
    with adopting():
        tried = {a: try_judge(a, grade, grade_folder) for a in progress(attacks)}
    worked = {what: [a.id for a, t in tried.items() if getattr(t, what)] for what in ("gained", "changed", "stopped", "survived")}
    families = {f: {"total": n, "harmless": sum(t.harmless for a, t in tried.items() if a.family == f)} for f, n in Counter(a.family for a in tried).items()}
    return {"total": len(tried), **{what: len(names) for what, names in worked.items()}, "worked": worked, "families": families,
            "unproven": {a.id: a.unproven for a in tried if not a.proof}}
