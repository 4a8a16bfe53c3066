"""Experiments whose data have fields of their own, so that they are not built on a folder or a file of images."""

GIVEN = (
    "few_labels_gan",
    "few_labels_m1_m2",
    "few_labels_m2",
    "missing_not_at_random",
    "missing_pixels",
    "planning_ddpm",
    "radio_augmentation",
    "super_resolution",
    "super_resolution_mean",
    "text_to_image",
    "text_to_image_flow",
    "translation_ddpm",
    "translation_gan",
    "translation_mean",
    "video_ddpm",
    "volumes_ddpm",
    "volumes_wiener",
)
