"""A checkpoint by its id: two files of one commit, from an endpoint, and then from the cache."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lpca.base.errors import RequestError
from lpca.codec.hub import FILES, checkpoint_folder

COMMITS = {"main": "b" * 40, "v1": "a" * 40}
HELD = {
    commit: {name: f"{name} of {commit}".encode() for name in (*FILES, "run_me.py")}
    for commit in COMMITS.values()
}


def tree(commit):
    """A commit's files, as the Hub lists them."""
    return [
        {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
        for name, body in HELD[commit].items()
    ]


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub's interface as fetching takes, for one repository."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = self.path.split("?")[0].strip("/")
        self.server.asked.append(path)
        parts = path.split("/")
        if parts[:4] == ["api", "models", "lab", "codec"]:
            if parts[4:5] == ["tree"]:
                return self.send(200, json.dumps(tree(parts[5])).encode())
            revision = parts[5] if parts[4:5] == ["revision"] else "main"
            return self.about(COMMITS.get(revision, revision))
        if parts[:3] == ["lab", "codec", "resolve"] and parts[3] in HELD:
            body = HELD[parts[3]].get(parts[4])
            return self.send(404) if body is None else self.send(200, body, parts[3])
        return self.send(404, b"{}", code="RepoNotFound")

    def about(self, commit):
        if commit not in HELD:
            return self.send(404, b"{}", code="RevisionNotFound")
        files = [{"rfilename": name} for name in HELD[commit]]
        told = {"id": "lab/codec", "sha": commit, "siblings": files, "private": False}
        return self.send(200, json.dumps(told).encode())

    def send(self, status, body=b"", commit="", code=""):
        self.send_response(status)
        told = {"Content-Length": len(body), "Content-Type": "application/json"}
        told |= {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        for name, value in {**told, "X-Error-Code": code}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("localhost", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def fetch(hub, tmp_path_factory):
    """Fetch in a process of its own: the Hub's address is read as its library is loaded."""
    home = tmp_path_factory.mktemp("home")

    def fetched(*names, offline=False):
        code = (
            "import sys\nfrom lpca.base.errors import RequestError\n"
            "from lpca.codec.hub import checkpoint_folder\n"
            "for name in sys.argv[1:]:\n"
            "    try: print(checkpoint_folder(name))\n"
            "    except RequestError as error: print('refused', error)\n"
        )
        endpoint = f"http://localhost:{hub.server_address[1]}"
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        own |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        clean = {n: v for n, v in os.environ.items() if not n.startswith("HF_")}
        command = [sys.executable, "-c", code, *names]
        ran = subprocess.run(command, env={**clean, **own}, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return fetched


def test_a_folder_is_itself_and_what_is_no_name_is_refused(tmp_path):
    assert checkpoint_folder(str(tmp_path)) == tmp_path
    for name in ("./absent", "a/b/c", "no spaces/here", "../x", "alone"):
        with pytest.raises(RequestError, match="no such folder; allowed: a checkpoint's folder,"):
            checkpoint_folder(name)


def test_two_files_of_one_commit_are_fetched_and_kept_for_when_it_cannot_be_reached(fetch, hub):
    found = fetch("lab/codec@v1", "lab/codec", "lab/codec@v2", "lab/other")
    old, new, no_revision, no_model = found
    for folder, commit in ((old, COMMITS["v1"]), (new, COMMITS["main"])):
        for name in FILES:
            assert Path(folder, name).read_bytes() == HELD[commit][name]
    assert not [path for path in hub.asked if path.endswith("run_me.py")]
    assert "has no revision 'v2'" in no_revision
    assert "no such folder, and Hugging Face has no such repository" in no_model
    again = fetch("lab/codec", f"lab/codec@{COMMITS['v1']}", "lab/absent", offline=True)
    assert again[:2] == [new, old]
    assert "cannot be reached, and its cache has none" in again[2]
