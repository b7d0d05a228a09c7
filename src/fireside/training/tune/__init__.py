"""An adapter trained on a model that is there: LoRA and QLoRA."""
