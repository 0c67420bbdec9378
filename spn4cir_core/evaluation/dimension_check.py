"""Whether vectors of so many numbers can place every wanted answer first at all, whatever model makes them (LIMIT)."""

from __future__ import annotations

from collections.abc import Sequence

MOST_IMAGES = 2000
"""Images that take part, those that are answers first; further ones are easy to place behind them."""
STEPS, RATE, SCALE = 1500, 0.05, 20.0


def ceiling(answers: Sequence[Sequence[int]], images: int, dim: int, seed: int = 0, steps: int = STEPS) -> float:
    """Share of queries whose wanted answers can all stand before every other image, with vectors of ``dim`` numbers.

    Query and image vectors are free: no encoder makes them, they are fitted to the relevance itself, by full-batch
    InfoNCE with Adam (Weller et al. 2025, "On the theoretical limitations of embedding-based retrieval"). What even
    these do not reach no encoder of that dimension reaches. The fit is a lower bound: another one may reach more.

    Args:
        answers: rows of the images that are right, one list a query; each has at least one.
        images: N, images in the gallery.
        dim: D.

    Raises:
        ValueError: no queries, a query without an answer, or a row that is not in the gallery.
    """
    import torch

    if not answers or not all(answers) or max(map(max, answers)) >= images:
        raise ValueError("every query needs at least one answer among the images of the gallery")
    column_of = {row: column for column, row in enumerate(sorted({row for rows in answers for row in rows}))}
    sets = sorted({tuple(sorted({column_of[row] for row in rows})) for rows in answers})
    count_of = {one: 0 for one in sets}
    for rows in answers:
        count_of[tuple(sorted({column_of[row] for row in rows}))] += 1
    weight_S = torch.tensor([count_of[one] for one in sets], dtype=torch.float64) / len(answers)
    columns = max(len(column_of), min(images, MOST_IMAGES))
    right_SN = torch.zeros((len(sets), columns), dtype=torch.bool)
    for number, one in enumerate(sets):
        right_SN[number, list(one)] = True
    generator = torch.Generator().manual_seed(seed)
    query_SD = torch.randn((len(sets), dim), generator=generator).requires_grad_()
    image_ND = torch.randn((columns, dim), generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([query_SD, image_ND], lr=RATE)
    best = 0.0
    for _ in range(steps):
        unit_SD, unit_ND = (torch.nn.functional.normalize(vectors, dim=1) for vectors in (query_SD, image_ND))
        score_SN = SCALE * unit_SD @ unit_ND.T
        others_S1 = score_SN.masked_fill(right_SN, -torch.inf).logsumexp(1, keepdim=True)
        with torch.no_grad():
            worst_S = score_SN.masked_fill(~right_SN, torch.inf).amin(1)
            reached_S = worst_S > score_SN.masked_fill(right_SN, -torch.inf).amax(1)
            best = max(best, float((weight_S * reached_S).sum()))
        if bool(reached_S.all()):
            return 1.0
        loss = torch.nn.functional.softplus(others_S1 - score_SN)[right_SN].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return best
