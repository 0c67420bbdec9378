"""A learnt change added to frozen image features: before the first step a query is the reference image itself."""
