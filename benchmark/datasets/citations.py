"""What to cite for the datasets of this project, as BibTeX."""

from __future__ import annotations

DIGITS = """
@misc{alpaydin1998digits,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  howpublished = {UCI Machine Learning Repository},
  year = {1998},
  doi = {10.24432/C50P49},
}
"""
MNIST = r"""
@article{lecun1998mnist,
  author = {LeCun, Yann and Bottou, L{\'e}on and Bengio, Yoshua and Haffner, Patrick},
  title = {Gradient-Based Learning Applied to Document Recognition},
  journal = {Proceedings of the IEEE},
  volume = {86},
  number = {11},
  pages = {2278--2324},
  year = {1998},
  doi = {10.1109/5.726791},
}
"""
FASHION_MNIST = """
@misc{xiao2017fashionmnist,
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  title = {{Fashion-MNIST}: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  year = {2017},
  eprint = {1708.07747},
  archiveprefix = {arXiv},
}
"""
SVHN = """
@inproceedings{netzer2011svhn,
  author = {Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo and Ng, Andrew Y.},
  title = {Reading Digits in Natural Images with Unsupervised Feature Learning},
  booktitle = {NIPS Workshop on Deep Learning and Unsupervised Feature Learning},
  year = {2011},
}
"""
CIFAR = """
@techreport{krizhevsky2009cifar,
  author = {Krizhevsky, Alex},
  title = {Learning Multiple Layers of Features from Tiny Images},
  institution = {University of Toronto},
  year = {2009},
}
"""
TINY_IMAGENET = """
@techreport{le2015tinyimagenet,
  author = {Le, Ya and Yang, Xuan},
  title = {Tiny {ImageNet} Visual Recognition Challenge},
  institution = {Stanford University, CS 231N},
  year = {2015},
}
"""
IMAGENET = """
@article{russakovsky2015imagenet,
  author = {Russakovsky, Olga and Deng, Jia and Su, Hao and Krause, Jonathan and Satheesh, Sanjeev and Ma, Sean and
    Huang, Zhiheng and Karpathy, Andrej and Khosla, Aditya and Bernstein, Michael and Berg, Alexander C. and
    Fei-Fei, Li},
  title = {{ImageNet} Large Scale Visual Recognition Challenge},
  journal = {International Journal of Computer Vision},
  volume = {115},
  number = {3},
  pages = {211--252},
  year = {2015},
  doi = {10.1007/s11263-015-0816-y},
}
"""
# Its subsets of ten classes are used as in this paper.
IMAGENET_SUBSET = f"""{IMAGENET}
@inproceedings{{cazenavette2022mtt,
  author = {{Cazenavette, George and Wang, Tongzhou and Torralba, Antonio and Efros, Alexei A. and Zhu, Jun-Yan}},
  title = {{Dataset Distillation by Matching Training Trajectories}},
  booktitle = {{IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)}},
  year = {{2022}},
  eprint = {{2203.11932}},
  archiveprefix = {{arXiv}},
}}
"""
