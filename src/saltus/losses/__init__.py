"""Performance as a function of the pre-training loss: what matters, where it bends.

Tables in, tables out: `rows` puts checkpoints on the loss axis, `same` tests what matters at
equal loss, `thresholds` looks for a bend (`bend`) and the scale at which a family reaches it
(`reach`). Source: Du et al. (2024), arXiv 2403.15796.
"""
