"""The Open Inference Protocol (KServe v2): what clients of inference servers, such as `tritonclient`, speak."""
