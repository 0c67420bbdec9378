"""Whatever is asked of a served index: an answer, or a refusal as JSON; never a failure of the server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.search.stage import SEARCH_INDEX
from tests.fuzz.inputs import bent, damaged, fuzzed
from tests.fuzz.readers import pictures
from tests.measured_store import measured_store, recipe

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from starlette.testclient import TestClient

from spn4cir_core.search.api import create_app

FORM = {"text": "a red bar", "image_id": "toys/04.png", "query": "composed", "top": "3", "model": "stage2"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    root = tmp_path_factory.mktemp("searched")
    store = measured_store(root)
    index = SEARCH_INDEX.run(recipe(root / "pictures"), store)[0]
    service = SearchService(Models(Searcher.open(index)), ImageFiles(root / "pictures", 10**6))
    return TestClient(create_app(service, "toys"), base_url="http://127.0.0.1", raise_server_exceptions=True)


def fits(answer: Any, root: str = "searched") -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200 and answer.request.method != "HEAD":
        assert isinstance(answer.json(), dict) and root not in answer.text


def test_forms(client: TestClient) -> None:
    @fuzzed
    @given(bent(FORM))
    def attempt(form: Any) -> None:
        if isinstance(form, dict):
            fits(client.post("/api/search", data={str(key): _sent(value) for key, value in form.items()}))

    attempt()


def test_uploads(client: TestClient) -> None:
    @fuzzed
    @given(damaged(pictures()), st.sampled_from(["composed", "image", "sum"]))
    def attempt(upload: bytes, query: str) -> None:
        files = {"image": ("../x.png", upload, "image/png")}
        fits(client.post("/api/search", data={"text": "red", "query": query}, files=files))

    attempt()


def test_bodies(client: TestClient) -> None:
    good = client.build_request("POST", "/api/search", data=FORM, files={"image": ("x.png", b"y", "image/png")})
    kind, body = good.headers["content-type"], good.read()

    @fuzzed
    @given(damaged([body]), damaged([kind.encode()]) | st.just(kind.encode()))
    def attempt(damage: bytes, content_type: bytes) -> None:
        headers = {"content-type": content_type.decode("latin-1").translate({13: None, 10: None, 0: None})}
        try:
            headers["content-type"].encode("ascii")
        except UnicodeEncodeError:
            return
        fits(client.post("/api/search", content=damage, headers=headers))

    attempt()


def test_addresses(client: TestClient) -> None:
    @fuzzed
    @given(
        st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"]),
        st.sampled_from(["/thumbnail/", "/api/", "/api/images", "/", "/page.js", "/openapi.json"]),
        st.text(max_size=20) | st.sampled_from(["toys/04.png", "../../etc/passwd", "toys/../toys/04.png", "%00", "//"]),
        st.dictionaries(st.sampled_from(["count", "seed", "x"]), st.text(max_size=12) | st.integers(), max_size=2),
    )
    def attempt(method: str, path: str, rest: str, query: dict[str, Any]) -> None:
        address = quote(rest, errors="replace", safe="")
        fits(client.request(method, path + address, params={key: _sent(value) for key, value in query.items()}))

    attempt()


def test_headers(client: TestClient) -> None:
    @fuzzed
    @given(
        st.sampled_from(["host", "content-length", "authorization", "range", "content-type", "transfer-encoding"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
        | st.sampled_from(["localhost:x", "[::1", "[", "127.0.0.1:", "-1", "9" * 30, "bytes=0-", "Bearer x"]),
    )
    def attempt(name: str, value: str) -> None:
        fits(client.post("/api/search", data=FORM, headers={name: value}))
        fits(client.get("/api/images", headers={name: value}))

    attempt()


def _sent(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
