"""Training losses: ``loss(logits, label) -> scalar``."""
