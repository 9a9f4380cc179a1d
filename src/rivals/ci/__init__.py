"""CI/CD of a rivals project: the pipeline in a provider's words, and where it says what it found."""
