"""MODEL_CARD.md of a heterogeneity index, written from the fitted model alone: no number in it is typed by hand."""

from __future__ import annotations

from .frozen_model import card_head, card_tail

MAX_LISTED = 60


def index_card(content: dict) -> str:
    """The card of a model.json's content."""
    lines = [
        *card_head(content),
        *_simulated(content),
        *_what(content),
        *_training(content),
        *_agreement(content),
        *_survival(content["training"].get("survival")),
        *_inputs(content),
        *card_tail(content),
    ]
    return "\n".join(lines)


def _simulated(content: dict) -> list[str]:
    if not content["training"].get("simulated"):
        return []
    return [
        "> **The reference is simulated.** Percentile, group and cut compare a case with simulated exams. They mean "
        "nothing clinically until the index is trained on real exams, by one command on your own cohort's features "
        "(`iith batch`):",
        ">",
        "> `iith train su-iith features_wide.csv.gz --out MODEL`",
        "",
    ]


def _what(content: dict) -> list[str]:
    cohort = content["cohort"]
    unit = "simulated exams" if content["training"].get("simulated") else "patients"
    preset = f", preset `{content['preset']['name']}`" if content["preset"]["name"] else ""
    return [
        "## What it is",
        "",
        *([content["training"]["summary"], ""] if content["training"].get("summary") else []),
        f"The heterogeneity index HI: signed sum of z-scores of {len(content['features'])} features (signature "
        f"`{content['signature']['name']}`{preset}). Means, SDs and the cut are frozen from {cohort['n']} {unit}, "
        f"{cohort['n_high']} of them in the high group of the network.",
        "",
        "A case is refused when more than 10 % of the features are missing or lie more than 5 SD from the mean; a "
        "missing feature counts as average and is named. Research use only.",
        "",
    ]


def _training(content: dict) -> list[str]:
    training, cohort = content["training"], content["cohort"]
    lines = ["## Training data", ""]
    if training.get("description"):
        lines += [training["description"], ""]
    if training.get("tables"):
        lines += ["| table | file | SHA-256 |", "|---|---|---|"]
        lines += [f"| {t['role']} | `{t['file']}` | `{t['sha256'][:16]}...` |" for t in training["tables"]]
        lines += [""]
    if training.get("command"):
        lines += ["Made by", "", "```", training["command"], "```", ""]
    parameters = ", ".join(f"{k} {_plain(v)}" for k, v in content["parameters"].items() if v is not None)
    return [
        *lines,
        f"- Parameters: {parameters}.",
        f"- Features: {cohort['n_candidate_features']} candidates, taken by the MAD filter: "
        + ", ".join(f"{n} {view}" for view, n in cohort["n_selected"].items())
        + ".",
        f"- Left out of training: {cohort['patients_left_out']} patients, {cohort['features_left_out']} features; "
        f"{cohort['n_values_filled']} missing values filled with the mean.",
        f"- Table digest (SHA-256): {cohort['table_sha256']}.",
        "",
    ]


def _plain(value) -> str:
    if isinstance(value, list):
        return "; ".join(_plain(v) for v in value)
    return str(value)


def _agreement(content: dict) -> list[str]:
    cohort, volume = content["cohort"], content["volume_dependence"]
    rho = "not known: " + volume["reason"] if volume["rho"] is None else f"{volume['rho']:.3f} (n = {volume['n']})"
    cut, nearest = cohort["cut_agreement"], cohort["nearest_group_agreement"]
    return [
        "## Groups, cut and size",
        "",
        f"- Cut: HI {content['groups']['cut']:.4g} and above is high; it repeats the network's groups with sensitivity "
        f"{cohort['sensitivity_of_cut']:.3f} and specificity {cohort['specificity_of_cut']:.3f} in the same patients "
        f"({_share(cut)}).",
        f"- Nearest group mean (the check shown beside every score) repeats the network's groups in {_share(nearest)}.",
        f"- Spearman correlation of HI with lesion volume: {rho}.",
        f"- Groups by the eigengap rule: {cohort['eigengap_clusters']}.",
        *[f"- {check}" for check in content["training"].get("checks", [])],
        "",
    ]


def _share(agreement: dict) -> str:
    kappa = "not defined" if agreement["kappa"] is None else f"{agreement['kappa']:.3f}"
    return f"{100 * agreement['share']:.1f} %, kappa {kappa}"


def _survival(survival: dict | None) -> list[str]:
    if survival is None:
        return []
    lines = [
        f"## {survival['outcome'][0].upper()}{survival['outcome'][1:]}",
        "",
        f"{survival['definition']} n = {survival['n']}, events = {survival['n_events']} ({survival['left_out']} "
        "without outcome or values). No outcome was used in making the index.",
        "",
        f"**{survival['verdict']}**",
        "",
        "| group | n | events | survival |",
        "|---|---|---|---|",
    ]
    for group in survival["groups"]:
        at = "; ".join(
            f"{s['years']:g} years {s['survival']:.3f} ({s['low']:.3f} to {s['high']:.3f})" for s in group["survival"]
        )
        lines.append(f"| {group['name']} | {group['n']} | {group['n_events']} | {at} |")
    test = survival["log_rank"]
    lines += [
        "",
        f"Log-rank: chi-square {test['chi_square']:.3f}, p = {test['p']:.4g}.",
        "",
        "| Cox model | hazard ratio per SD (95 % interval), p | C apparent (95 % interval) | C cross-validated |",
        "|---|---|---|---|",
    ]
    for model in survival["models"]:
        terms = "; ".join(
            f"{t['term']} {t['hazard_ratio_per_sd']:.3f} ({t['low']:.3f} to {t['high']:.3f}), p = {t['p']:.3g}"
            for t in model["terms"]
        )
        name = " + ".join(t["term"] for t in model["terms"])
        c, cv = model["c_apparent"], model["c_cross_validated"]
        lines.append(f"| {name} | {terms} | {c['value']:.3f} ({c['low']:.3f} to {c['high']:.3f}) | {cv['value']:.3f} |")
    return [*lines, ""]


def _inputs(content: dict) -> list[str]:
    lines = [
        "## Inputs",
        "",
        "| region | image | feature | sign | mean | SD | 1st to 99th percentile |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in content["features"][:MAX_LISTED]:
        sign = "+" if f["sign"] > 0 else "-"
        lines.append(
            f"| {f['region']} | {f['image']} | {f['feature']} | {sign} | {f['mean']:.4g} | {f['sd']:.4g} | "
            f"{f['usual'][0]:.4g} to {f['usual'][1]:.4g} |"
        )
    more = len(content["features"]) - MAX_LISTED
    if more > 0:
        lines += ["", f"and {more} more, see model.json."]
    return [*lines, ""]
