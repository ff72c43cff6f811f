"""Where a slide is not glass: segmentation, masks of the user's, polygons, pen ink and focus."""
