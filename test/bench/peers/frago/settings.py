"""What startproject writes, less the admin; everything frago stores lies below BENCH_DIRECTORY."""
import os
from pathlib import Path

DIRECTORY = Path(os.environ["BENCH_DIRECTORY"])

SECRET_KEY = "of-a-server-that-only-the-benchmark-reaches"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "frago.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "frago",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "immediate",
        "NAME": DIRECTORY / "database.sqlite3",
        # Seconds to wait for the write lock.
        "OPTIONS": {"timeout": 60},
    }
}

FILE_UPLOAD_TEMP_DIR = DIRECTORY / "spool"
CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH = str(DIRECTORY / "chunks")
CHUNKED_UPLOADER_ASSEMBLED_PATH = str(DIRECTORY / "assembled")
