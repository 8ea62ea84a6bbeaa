# The image of training jobs (docs/aws.md): segkit's packages on AWS's own image, which has torch and CUDA. A job brings its
# source along, so the image is built anew only when constraints.txt changes.
ARG BASE=public.ecr.aws/deep-learning-containers/pytorch:2.11-cu130-amzn2023-sagemaker
FROM ${BASE}
WORKDIR /opt/segkit
COPY . .
# opencv-python needs the system's libGL; where that is missing the headless build of the same version takes over.
RUN pip install --no-cache-dir -c constraints.txt '.[aws,models]' && (python -c 'import cv2' || pip install \
    --no-cache-dir --force-reinstall --no-deps -c constraints.txt opencv-python-headless)
WORKDIR /tmp
