"""Mode decomposition learning: networks that are trained, converted, read and compressed as modes.

Names are imported when they are first used; those of layers load torch.

References:
    Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011.
"""
