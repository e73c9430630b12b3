"""Random directions and frames, uniform over all rotations: what a reading is compared with."""

from modescope.laws.haar_frames import directions, frame

__all__ = ["directions", "frame"]
