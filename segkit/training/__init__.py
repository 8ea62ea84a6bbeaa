"""Training: the task, the trainer, the fit."""
