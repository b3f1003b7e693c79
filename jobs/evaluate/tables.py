"""Results as tables: aligned text for a terminal, Markdown for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...store.shell import counted, printable
from .score import FIGURES

Table = tuple[list[str], list[list[str]]]
"""The heads of the columns, and the rows."""


def text(told: Mapping[str, Any]) -> str:
    """What ``vidrag eval`` prints: the arms against each other, or the groups of the only one."""
    ran = [a for a in told["arms"] if a["table"]]
    parts = [aligned(by_figure(a["title"], a["table"])) for a in ran] if len(ran) == 1 else [aligned(by_arm(told, ran))]
    if len(ran) > 1:
        parts.append(aligned(differences(told, ran)))
    parts += remarks(told)
    return "\n".join(parts) + "\n"


def markdown(told: Mapping[str, Any], level: int = 1, name: str = "") -> str:
    ran, head = [a for a in told["arms"] if a["table"]], "#" * level
    asked = counted(told["asked"], "question")
    out = [f"{head} {name or told['dataset']}: {asked}\n", *(f"- {r}" for r in remarks(told))]
    out += [
        f"- intervals: {told['level']:.0%} bootstrap over questions, {told['resamples']} resamples, "
        f"seed {told['seed']}",
        f"- profile: `{told['profile']}`" + "".join(f" `--set {s}`" for s in told["settings"]),
        f"- chance: {told['chance']:.3f}\n",
    ]
    for group, title in (("arms", "Arms"), ("ablations", "Ablations")):
        own = [a for a in ran if a["group"] == group]
        if own and len(ran) > 1:
            out += [f"{head}# {title}\n", _piped(by_arm(told, own))]
        if compared := [a for a in own if a["against"]]:
            out += [f"{title} against '{told['base']}', question by question:\n", _piped(differences(told, compared))]
    if sum(a["group"] == "arms" for a in ran) > 1:
        out += [f"{head}# Right options by group\n", _piped(by_group(told))]
    if base := next((a for a in ran if a["name"] == told["base"]), None):
        out += [f"{head}# '{base['name']}' by group\n", _piped(by_figure("", base["table"]))]
    if overrides := [a for a in ran if a["set"]]:
        rows = [[a["name"], a["title"], " ".join(f"`{s}`" for s in a["set"])] for a in overrides]
        out += [f"{head}# What the arms set\n", _piped((["arm", "", "overrides"], rows))]
    return "\n".join(out)


def summary(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Right options of the arms (not of the ablations), a column for each of ``results``, as Markdown."""
    arms = {a["name"]: a["title"] for told in results.values() for a in told["arms"] if a["group"] == "arms"}
    rows = []
    for name, title in arms.items():
        row = [f"{name}: {title}"]
        for told in results.values():
            table = next((a["table"] for a in told["arms"] if a["name"] == name), None)
            row.append(cell(table[0]["right"], table[0]["questions"]) if table else "-")
        rows.append(row)
    return _piped((["arm", *results], rows))


def remarks(told: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the figures."""
    out, missing = [], told["missing"]
    if missing["videos"]:
        names = ", ".join(printable(n) for n in missing["names"])
        more = ", ..." if missing["videos"] > len(missing["names"]) else ""
        out.append(
            f"{missing['questions']} of {told['questions']} questions not asked: videos not in "
            f"{printable(told['archive'])}: {missing['videos']} ({names}{more})"
        )
    for arm in told["arms"]:
        if arm["reason"]:
            out.append(f"{arm['name']} did not run: {printable(arm['reason'])}")
        if arm["failed"]:
            out.append(f"{arm['name']}: {arm['failed']} questions failed; run the same command again to ask them again")
        out += [f"{arm['name']}: {printable(n)}" for n in arm["notes"]]
    return out


def by_arm(told: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> Table:
    return _figures("arm", [(f"{a['name']}: {a['title']}", a["table"][0]) for a in arms])


def by_figure(head: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    return _figures(head, [(r["group"], r) for r in rows])


def by_group(told: Mapping[str, Any]) -> Table:
    ran = [a for a in told["arms"] if a["table"] and a["group"] == "arms"]
    groups = {r["group"]: r["questions"] for a in ran for r in a["table"]}
    own = [{r["group"]: r["right"] for r in a["table"]} for a in ran]
    rows = [[printable(g), str(n), *(cell(o.get(g), n) for o in own)] for g, n in groups.items()]
    return ["group", "n", *(a["name"] for a in ran)], rows


def differences(told: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> Table:
    """Each arm against the base: the difference, how many questions were gained and lost, McNemar's p."""
    compared = [a for a in arms if a["against"]]
    shown = [f for f in ("right", "any_at_5", "all_at_5") if any(a["against"][f] for a in compared)]
    head = [f"against {told['base']}"]
    for figure in shown:
        head += [FIGURES[figure], "gained", "lost", "p"]
    rows = []
    for arm in compared:
        row = [f"{arm['name']}: {arm['title']}"]
        for figure in shown:
            d = arm["against"][figure]
            row += (
                [f"{d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]", str(d["gained"]), str(d["lost"]), _p(d["p"])]
                if d
                else ["-"] * 4
            )
        rows.append(row)
    return head, rows


def _figures(head: str, named: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """A row for each of ``named``; figures that none of them has are left out."""
    shown = [f for f in FIGURES if any(r[f] for _, r in named)]
    rows = [[printable(name), str(r["questions"]), *(cell(r[f], r["questions"]) for f in shown)] for name, r in named]
    return [head, "n", *(FIGURES[f] for f in shown)], rows


def cell(found: Mapping[str, Any] | None, questions: int) -> str:
    """An estimate with its interval, and over how many questions where these are not ``questions``."""
    if not found:
        return "-"
    few = f" ({found['n']})" if found["n"] != questions else ""
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]{few}"


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def aligned(table: Table) -> str:
    """The table for a terminal."""
    head, rows = table
    widths = [max(len(r[i]) for r in (head, *rows)) for i in range(len(head))]
    lines = [[c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))]
             for r in (head, *rows)]  # fmt: skip
    return "\n".join("  ".join(line).rstrip() for line in lines) + "\n"


def _piped(table: Table) -> str:
    head, rows = table
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines) + "\n"
