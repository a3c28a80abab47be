"""What the figures measure: gradients at every depth, paths and lesions, receptive fields, costs. Homework 7."""
