"""Augmentation of images: the papers' strategies, CutMix, and the operations they are made of."""
