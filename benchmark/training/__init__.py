"""Training networks on real or synthetic images: protocols, trainers, evaluation networks, experts."""
