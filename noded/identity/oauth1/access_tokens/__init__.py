"""What users authorized consumers to do, and how they take it back."""
