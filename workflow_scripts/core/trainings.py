"""Of how many trainings a value is, in words: a verdict on one training is not one on the method."""


def of_value(trainings: int) -> str:
    """Of how many trainings a representation's value is the mean: `one training`, `mean of 3 trainings`.

    Args:
        trainings: by seeds; 0 of what is not trained here, which is told of in no words.
    """
    return "" if not trainings else "one training" if trainings == 1 else f"mean of {trainings} trainings"


def of_pair(first: str, second: str, trainings: tuple[int, int]) -> str:
    """The same of the difference of two representations: `one training each`, `3 trainings of slpd, one of dino`.

    Args:
        first: name of the one.
        second: name of the other.
        trainings: of both, by seeds; 0 of what is not trained here.
    """
    if trainings[0] == trainings[1]:
        return f"{_counted(trainings[0])} each" if trainings[0] else ""
    one, *other = [(name, count) for name, count in zip((first, second), trainings, strict=True) if count]
    told = f"{_counted(one[1])} of {one[0]}"
    return ", ".join([told, *(f"{'one' if count == 1 else count} of {name}" for name, count in other)])


def _counted(trainings: int) -> str:
    return "one training" if trainings == 1 else f"{trainings} trainings"
