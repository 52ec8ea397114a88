"""Techniques: a technique is a list of stages, and a stage is one training on the windows that its selection gives."""
