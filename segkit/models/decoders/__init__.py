"""Decoders: feature maps in, logits out."""
