"""Labels, OKS and keypoint AP; numpy only, so that they also run on the device."""
