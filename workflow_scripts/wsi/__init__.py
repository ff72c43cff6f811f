"""The room a slide enters by: opening it, its true scale, its regions and their pixels."""
