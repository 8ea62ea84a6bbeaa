"""Encoders: a picture in, feature maps out."""
