"""Fine-tuning: a foundation model becomes an assistant or a classifier."""
