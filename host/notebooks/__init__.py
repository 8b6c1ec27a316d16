"""Notebooks that `pynq get-notebooks` copies to where Jupyter looks. Nothing imports this."""
