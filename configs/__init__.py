"""The configurations of the working example, one module per group. `deriva-ml-run --list-configs` shows the menu."""
