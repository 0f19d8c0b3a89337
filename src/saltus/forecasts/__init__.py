"""Results of small models to predictive distributions for larger ones, and their record."""
