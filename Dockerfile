# docker build --tag retina-kit .
# docker run --rm --publish 127.0.0.1:8888:8888 --volume "$PWD:/home/student/work" retina-kit
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 student && install --directory --owner student /home/student/work
WORKDIR /opt/retina-kit
COPY requirements-cpu.lock ./
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --system --no-cache --torch-backend cpu --requirement requirements-cpu.lock \
    && pip uninstall --yes uv
COPY pyproject.toml README.md LICENSE ./
COPY retina_kit retina_kit
COPY notebooks notebooks
COPY data_manifests data_manifests
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER student
WORKDIR /home/student/work
EXPOSE 8888
# 0.0.0.0 is inside the container; `--publish 127.0.0.1:...` keeps it on this machine, and the token is printed.
CMD ["retina-kit", "lab", "--no-browser", "--ip", "0.0.0.0"]
