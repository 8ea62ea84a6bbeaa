# The image of training jobs and of endpoints (docs/aws.md): segkit's packages on AWS's own image, which has torch and CUDA. A
# job brings its source along, so for jobs the image is built anew only when constraints.txt changes.
ARG BASE=public.ecr.aws/deep-learning-containers/pytorch:2.11-cu130-amzn2023-sagemaker
FROM ${BASE}
WORKDIR /opt/segkit
COPY . .
# opencv-python needs the system's libGL; where that is missing the headless build of the same version takes over.
RUN pip install --no-cache-dir -c constraints.txt '.[aws,models]' && (python -c 'import cv2' || pip install \
    --no-cache-dir --force-reinstall --no-deps -c constraints.txt opencv-python-headless)
WORKDIR /tmp
# Endpoints start it with the word serve, as process 1; jobs bring an entry point of their own.
ENTRYPOINT ["segkit"]
