"""From a checkpoint and pictures to what is written about them."""
