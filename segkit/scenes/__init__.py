"""An own renderer of road scenes in exactly KITTI road's layout: layout → camera → render → files."""
