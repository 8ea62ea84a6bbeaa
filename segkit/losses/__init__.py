"""Training losses: modules with ``loss(logits (B, C, H, W), label uint8 (B, H, W)) -> scalar``.

Pixels with label ``IGNORE_INDEX`` (255) count in none of them. A batch without a scored pixel has loss and gradient 0.
Each is computed in float32 (float64 from float64 logits), takes the same launches whatever the values are, so that a
CUDA graph can hold it, and gives the same bits every time.

A loss may have ``use_pixel_counts(counts)`` (:func:`segkit.losses.class_weights.give_pixel_counts`) and
``denominator(label)``, the scalar that its mean was divided by where that is not the number of scored pixels.
"""
