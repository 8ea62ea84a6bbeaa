"""From what people type to a checked config and the objects that it names."""
