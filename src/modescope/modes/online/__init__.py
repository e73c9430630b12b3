"""Online learning of modes from a teacher: the equations of its overlaps, their integration, and the samples beside them."""
