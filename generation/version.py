"""This program's name and version."""

NAME = "easel"
VERSION = "0.1.0"
INFOTEXT_VERSION = f"{NAME}-v{VERSION}"  # not an A1111 version number, so readers apply no back-compatibility
