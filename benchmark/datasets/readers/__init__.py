"""One reader for each source of images: scikit-learn, torchvision's files, archives, parquet, class folders."""
