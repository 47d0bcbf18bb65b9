"""Rock Token Explorer: run a small on-policy distillation, log every token, find the ones that stay hard."""
