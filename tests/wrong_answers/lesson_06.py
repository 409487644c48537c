"""Wrong answers to the exercises of lesson 06, and what a learner must read."""

STEP = """def top_down_step(x, coarse, lateral, smooth):
"""
NECK = """def yolo_neck(rows, p3, p4, p5):
    l5 = rows[10](p5)
    l4 = rows[14](rows[13](rows[12]([rows[11](l5), p4])))
    n3 = rows[17](rows[16]([rows[15](l4), p3]))
    n4 = rows[20](rows[19]([rows[18](n3), l4]))
    n5 = rows[23](rows[22]([rows[21](n4), l5]))
    return n3, n4, n5"""


def neck(*changes: tuple[str, str]) -> str:
    """The right neck with a few words replaced."""
    text = NECK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


WRONG: dict[str, list[tuple[str, str]]] = {
    "6.1": [
        (
            STEP
            + """    total = lateral(x) + F.interpolate(coarse, size=x.shape[-2:], mode="bilinear")
    return total, smooth(total)""",
            r"bilinear interpolation; FPN repeats the nearest cell",
        ),
        (
            STEP
            + """    total = lateral(x) + F.interpolate(coarse, scale_factor=2)
    return total, smooth(total)""",
            r"a fixed factor of 2 .* enlarge to the size of x",
        ),
        (
            STEP
            + """    total = nn.Upsample(scale_factor=2)(coarse) + lateral(x)
    return total, smooth(total)""",
            r"a fixed factor of 2 .* enlarge to the size of x",
        ),
        (
            STEP
            + """    total = lateral(x) + coarse
    return total, smooth(total)""",
            r"enlarge the coarser one first",
        ),
        (
            STEP
            + """    total = F.interpolate(coarse, size=x.shape[-2:]) + x
    return total, smooth(total)""",
            r"must pass the lateral convolution",
        ),
        (
            STEP
            + """    total = torch.cat([lateral(x), F.interpolate(coarse, size=x.shape[-2:])], dim=1)
    return total, smooth(total)""",
            r"FPN adds; YOLO concatenates",
        ),
        (
            STEP
            + """    total = (lateral(x) + F.interpolate(coarse, size=x.shape[-2:])) / 2
    return total, smooth(total)""",
            r"FPN takes the sum",
        ),
        (
            STEP
            + """    total = lateral(x) + F.interpolate(coarse, size=x.shape[-2:])
    return total, total""",
            r"not smoothed",
        ),
        (
            STEP
            + """    total = smooth(lateral(x) + F.interpolate(coarse, size=x.shape[-2:]))
    return total, total""",
            r"goes on to the next level is the sum before smoothing",
        ),
        (
            STEP
            + """    total = lateral(x) + F.interpolate(coarse, size=x.shape[-2:])
    return smooth(total), total""",
            r"in the wrong order: first the sum",
        ),
        (
            STEP + """    return smooth(lateral(x) + F.interpolate(coarse, size=x.shape[-2:]))""",
            r"the next level needs the sum too",
        ),
        (
            STEP
            + """    up = F.interpolate(coarse, size=x.shape[-2:])
    return lateral(x) + up, smooth(lateral(x)) + up""",
            r"comes behind the sum",
        ),
        (
            STEP
            + """    total = lateral(x)
    return total, smooth(total)""",
            r"your sum is the lateral alone",
        ),
        (
            STEP
            + """    total = lateral(x) + F.interpolate(coarse.detach(), size=x.shape[-2:])
    return total, smooth(total)""",
            r"the gradient is not",
        ),
    ],
    "6.2": [
        (neck(("n3, n4, n5", "n5, n4, n3")), r"from the finest to the coarsest"),
        (neck(("[rows[11](l5), p4]", "[p4, rows[11](l5)]")), r"row 12: Concat puts the newest map first"),
        (
            neck(
                ("[rows[11](l5), p4]", "[p4, rows[11](l5)]"),
                ("[rows[15](l4), p3]", "[p3, rows[15](l4)]"),
                ("[rows[18](n3), l4]", "[l4, rows[18](n3)]"),
                ("[rows[21](n4), l5]", "[l5, rows[21](n4)]"),
            ),
            r"rows 12, 16, 19, 22: Concat puts the newest map first",
        ),
        (neck(("[rows[18](n3), l4]", "[rows[18](n3), p4]")), r"row 19 joins the output of row 14, L4"),
        (neck(("[rows[21](n4), l5]", "[rows[21](n4), p5]")), r"row 22 joins the output of row 10, L5"),
        (neck(("return n3, n4, n5", "return n3, l4, l5")), r"made on the way back up"),
        (neck(("return n3, n4, n5", "return n3")), r"N3 alone"),
        (neck(("rows[12]([rows[11](l5), p4])", "rows[12](rows[11](l5), p4)")), r"Concat takes one list"),
        (neck(("rows[11](l5)", "l5")), r"row 11 must enlarge it"),
        (neck(("rows[18](n3)", "n3")), r"row 18 must shrink it"),
        (neck(("l5 = rows[10](p5)", "l5 = p5")), r"row 10 is missing"),
    ],
    "6.3": [
        ('mine = {"row 12": 384, "row 16": 192, "row 20": 192, "row 24": 384}', r"puts them side by side"),
        ('mine = {"row 12": 512, "row 16": 256, "row 20": 256, "row 24": 512}', r"That is size s"),
        ('mine = {"row 12": 1024, "row 16": 512, "row 20": 512, "row 24": 1024}', r"That is size l"),
        ('mine = {"row 12": 768, "row 16": 384, "row 20": 576, "row 24": 768}', r"It joins L4, the output of row 14"),
        ('mine = {"row 12": 768, "row 16": 384, "row 20": 384, "row 24": 1152}', r"It joins L5, the output of row 10"),
        ('mine = {"row 12": 1152, "row 16": 384, "row 20": 384, "row 24": 768}', r"half the channels of P5"),
    ],
}
