"""Presets that choose several entries at once: `+experiment=NAME`."""

from hydra_zen import make_config, store

from configs.base import RootConfig

store(
    make_config(
        hydra_defaults=["_self_", {"override /model_config": "quick"}],
        description="One epoch, to see that everything works",
        bases=(RootConfig,),
    ),
    group="experiment",
    package="_global_",
    name="smoke",
)
store(
    make_config(
        hydra_defaults=["_self_", {"override /model_config": "patient"}],
        description="Twenty careful epochs",
        bases=(RootConfig,),
    ),
    group="experiment",
    package="_global_",
    name="long",
)
