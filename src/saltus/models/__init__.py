"""Who is asked: families of small networks that we train, and models that are served.

`family.py` says what a trainable family is and registers it; nothing here imports torch until
a family is built. `client.py` is the seam between whatever answers and `saltus run`.
"""
