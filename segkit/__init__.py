"""Road and scene segmentation with FCNs: train, score, predict."""

__version__ = "0.1.0"
