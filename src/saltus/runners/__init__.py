"""What makes answers: training families of our own, asking models.

`training_run.py` is one network from its first weights to its last checkpoint, `train.py` a
whole family, sizes and seeds side by side. `evaluate.py` is a run of `saltus run`: `work.py` asks
at once what may be asked at once, `asking.py` knows the requests of an item, `journal.py` keeps
what was answered.
"""
