"""What may be wrong, and what to do about it: one small check per subject. Changes nothing; draws nothing."""
