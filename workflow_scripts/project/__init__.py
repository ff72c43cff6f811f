"""Starting a project: what was found in a folder of slides, what follows for the configuration, what it will cost."""
