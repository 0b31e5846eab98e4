"""Two networks stage by stage: what each computes, and the first stage at which they diverge."""
