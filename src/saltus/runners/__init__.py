"""What makes answers: training families of our own, asking models.

`training_run.py` is one network from its first weights to its last checkpoint, `train.py` a
whole family, sizes and seeds side by side.
"""
