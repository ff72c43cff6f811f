"""The room a slide enters by: opening it, its true scale, its tissue, its regions and their pixels."""
