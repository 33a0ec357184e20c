"""From a checkpoint to a bundle the assistant runs: ONNX, tokenizer, bundle.json, model card."""
