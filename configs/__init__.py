"""What a run is: typed schema, YAML groups, composition and checks."""
