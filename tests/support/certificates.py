"""Certificates for TLS, made with `openssl`: an authority, a server named `localhost`, and a client."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


class Certificates:
    """The files of an authority and of what it has signed. Each certificate has its key in a file beside."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self._folder = folder
        self.ca = folder / "ca.crt"
        request = ["req", "-x509", "-days", "2", "-subj", "/CN=made up", "-addext", "keyUsage=keyCertSign"]
        self._openssl(*request, *self._new_key("ca"), "-out", "ca.crt")
        self.server, self.client = self._signed("server"), self._signed("client")

    def key_of(self, certificate: Path) -> Path:
        return certificate.with_suffix(".key")

    def both(self, certificate: Path) -> Path:
        """Returns a file with a certificate and its key."""
        path = certificate.with_suffix(".pem")
        path.write_text(certificate.read_text() + self.key_of(certificate).read_text())
        return path

    def own_by_nobody(self, *paths: Path) -> None:
        """Gives files to the user that servers run as which refuse to run as root."""
        if os.geteuid() == 0:
            for path in paths:
                shutil.chown(path, "nobody", "nogroup")

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]

    def _signed(self, name: str) -> Path:
        self._openssl("req", "-subj", f"/CN={name}", *self._new_key(name), "-out", f"{name}.csr")
        (self._folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost\n")
        signing = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        self._openssl(*signing, "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        return self._folder / f"{name}.crt"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
