"""`rockcore train`: a session with a progress bar. Its settings are config.SessionConfig."""

from __future__ import annotations

from dataclasses import replace

from rockcore.commands.console import TrainingBar, out
from rockcore.config import BadConfig, SessionConfig
from rockcore.interventions import load_set
from rockcore.lazy import loaded_for_good


def run(config: SessionConfig) -> None:
    scenario = None
    if not config.resume:  # what is wrong with the settings is told before torch is loaded
        config.refuse_unused()
        resolved = config.resolved()
        if resolved.rocks is not None:
            load_set(resolved.rocks)
        config, scenario = replace(config, out=resolved.out), resolved.scenario
    try:
        with loaded_for_good():
            from rockcore.training.session import train
    except ModuleNotFoundError as e:
        raise BadConfig(
            f"{e.name} is not installed",
            "Training needs torch and transformers",
            'python -m pip install -e ".[train]"',
        ) from e
    what = (
        "going on"
        if config.resume
        else f"a new run of {'your pair' if config.prompts else scenario}"
    )
    with TrainingBar(out) as bar:
        bar.say(f"{config.out}: {what}")
        meta = train(config, bar.listen, bar.say)
    bar.say(f"{meta.status}: {config.out}" + (f" ({meta.reason})" if meta.reason else ""))
    bar.say(f"look at it: rockcore app {config.out}")
