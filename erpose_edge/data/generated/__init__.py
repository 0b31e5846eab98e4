"""Generated people: scenes of articulated, clothed people with exact keypoints (numpy + cv2)."""

from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.data.generated.person import render_person_cutout
from erpose_edge.data.generated.scene import render_scene

__all__ = ["GeneratedPeople", "render_person_cutout", "render_scene"]
