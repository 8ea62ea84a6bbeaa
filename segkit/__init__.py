"""Road and scene segmentation with FCNs: train, score, predict."""
