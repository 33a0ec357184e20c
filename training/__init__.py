"""How the models are made: data, pretraining, fine-tuning, evaluation, export."""
