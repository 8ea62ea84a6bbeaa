"""What training pictures go through: :class:`Augmentation`, or a list of albumentations' transforms."""

from segkit.data.augment.albumentations_list import AlbumentationsList
from segkit.data.augment.augmentation import Augmentation
from segkit.data.augment.base import BatchAugmentation, Key, SampleAugmentation

__all__ = ["AlbumentationsList", "Augmentation", "BatchAugmentation", "Key", "SampleAugmentation"]
