import os

# Before OpenCV is imported: every decoding error is reported by segkit.data.images under the file's name, and OpenCV's
# own lines would only repeat it.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
