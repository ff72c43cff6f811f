"""What had better be known of a configuration before it runs, and is no problem."""

from workflow_scripts.config import Config


def training_notes(config: Config) -> list[str]:
    """Runs whose `compile` is not followed, a line each."""
    pretrain, notes, first = config.pretrain, list[str](), dict[str, str]()
    for name in pretrain.named:
        run = pretrain.run(next(iter(pretrain.by_fold.get(name, [name]))))
        if run.deterministic and run.compile is True:
            notes.append(
                f"pretrain run {name}: compile is true and so is deterministic, so nothing is compiled: code that is "
                "chosen by timing it does not give the same bits every time"
            )
        other = first.setdefault(run.warm_up_key(), name)
        if pretrain.run(next(iter(pretrain.by_fold.get(other, [other])))).compile != run.compile:
            notes.append(f"pretrain runs {other} and {name} share a warm-up, which is trained with compile of {other}")
    return notes
