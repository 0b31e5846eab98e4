"""What runs on the device: numpy, cv2 and one engine; never torch, never the training code.

A frame goes through these modules in this order::

    images      read a photograph, a folder or a video              → BGR uint8
    preprocess  letterbox, BGR → RGB, [0, 1], channels first        → float32 (1, 3, H, W)
    runner      one engine behind ``run(images)``                   → named arrays
    decode      scores and keypoints back to the source             → Poses
    draw        skeletons on the picture

``artifact`` reads the folder that says which network this is and ``estimator`` joins the parts.
"""
