"""The growth engine: maps the parameters of a source model to those of a larger target model."""
