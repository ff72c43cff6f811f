"""One colour a group of prototypes, the same in every map and file."""

GROUP_COLOURS = (
    "#0072B2 #E69F00 #009E73 #CC79A7 #D55E00 #56B4E9 #F0E442 #4D4D4D "
    "#332288 #88CCEE #44AA99 #117733 #999933 #DDCC77 #CC6677 #882255"
).split()
"""Colours that stay apart for colour-blind readers: Okabe and Ito 2008, then of Tol's muted set."""


def group_colour(group: int) -> str:
    """Colour of a group, from 0; from the seventeenth group on colours come again."""
    return GROUP_COLOURS[group % len(GROUP_COLOURS)]


def group_name(group: int) -> str:
    """Name of a group, by its number in groups.parquet."""
    return f"Group {group}"


def red_green_blue(colour: str) -> tuple[int, int, int]:
    """Channels, 0 to 255, of a colour written #RRGGBB."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
