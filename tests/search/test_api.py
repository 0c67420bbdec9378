"""The JSON API on a tiny index: right answers, refusals, limits."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.index_table import IndexedImages
from spn4cir_core.search.models import SHARED, Models, Opened
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import THUMBNAIL_PX, SearchService
from tests.measured_store import EVIL, image_rows

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from fastapi import FastAPI
from starlette.testclient import TestClient

from spn4cir_core.search.access_control import AccessControl
from spn4cir_core.search.api import Answer, create_app
from spn4cir_core.search.metrics import Metrics
from spn4cir_core.search.request_limit import RequestLimit

SECRET = "correct horse"


@pytest.fixture(scope="module")
def client(service: SearchService) -> TestClient:
    return TestClient(create_app(service, "toys"), base_url="http://127.0.0.1", raise_server_exceptions=False)


def ask(client: TestClient, upload: bytes | None = None, **form: Any) -> Any:
    files = None if upload is None else {"image": ("x.png", upload, "image/png")}
    return client.post("/api/search", data=form, files=files)


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_images_are_drawn_by_the_seed(client: TestClient) -> None:
    first, again, other = (client.get(f"/api/images?count=9&seed={seed}").json() for seed in (1, 1, 2))
    assert first == again and first["images"] != other["images"]
    assert (first["name"], first["total"], len(first["images"])) == ("toys", 36, 9)
    every = client.get("/api/images?count=200").json()["images"]
    known = {row["image_id"]: row["caption"] for row in image_rows()}
    assert {image["image_id"]: image["caption"] for image in every} == known and EVIL in known.values()


@pytest.mark.parametrize("query", ["composed", "image", "text", "sum"])
def test_hits_are_the_searchers(client: TestClient, searcher: Searcher, pictures: Path, query: str) -> None:
    reference = None if query == "text" else ImageFiles(pictures).open("toys/04.png")
    text = None if query == "image" else "a red circle"
    made = "sum" if query == "sum" else "composed"
    right = searcher.search(reference, text, 7, without=("toys/04.png",), made=made)
    answer = ask(client, image_id="toys/04.png", text=" a red circle ", query=query, top=7).json()
    assert (answer["query"], answer["text"], answer["image_id"]) == (query, "a red circle", "toys/04.png")
    assert [(hit["image_id"], hit["rank"]) for hit in answer["hits"]] == [(hit.image_id, hit.rank) for hit in right]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in right], abs=1e-6)
    assert "toys/04.png" not in {hit["image_id"] for hit in answer["hits"]}


def test_other_models_are_listed_and_asked(service: SearchService, searcher: Searcher, pictures: Path) -> None:
    stage1 = searcher.beside(searcher.network)
    models = Models(searcher, {"stage1": lambda: Opened(stage1, SHARED), "control": "there is none"})
    client = TestClient(create_app(SearchService(models, ImageFiles(pictures)), "toys"), "http://localhost")
    listed = client.get("/api/models").json()["models"]
    assert listed == [
        {"name": "blend", "title": "Blend of channels", "missing": ""},
        {"name": "stage1", "title": "Stage 1", "missing": ""},
        {"name": "control", "title": "Control: stage 1 longer", "missing": "there is none"},
    ]
    answer = ask(client, image_id="toys/04.png", text="a bar", model="stage1").json()
    assert (answer["model"], answer["vectors"]) == ("stage1", SHARED)
    blended = ask(client, image_id="toys/04.png", text="a bar").json()["hits"]
    assert answer["hits"] != blended and not answer["hits"][0]["channels"]
    assert blended[0]["score"] == pytest.approx(sum(blended[0]["channels"].values()), abs=1e-4)
    refused = ask(client, image_id="toys/04.png", text="a bar", model="control")
    assert refused.status_code == 404 and "there is none" in refused.json()["error"]
    assert ask(client, text="a bar", query="text", model="../stage1").status_code == 422


def test_an_upload_is_asked_with_like_the_same_picture_of_the_index(client: TestClient, pictures: Path) -> None:
    uploaded = ask(client, (pictures / "toys/04.png").read_bytes(), text="a bar", top=36).json()
    chosen = ask(client, image_id="toys/04.png", text="a bar", top=36).json()
    assert uploaded["image_id"] is None
    hits = [hit["image_id"] for hit in uploaded["hits"]]
    assert hits == [hit["image_id"] for hit in chosen["hits"]] and len(hits) == 34, "not itself, one of two twins"
    assert "toys/04.png" not in hits


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({}, 422, "reference image"),
        ({"text": "red"}, 422, "reference image"),
        ({"image_id": "toys/04.png"}, 422, "needs a text"),
        ({"image_id": "toys/04.png", "text": "  "}, 422, "needs a text"),
        ({"query": "text", "image_id": "toys/04.png"}, 422, "needs a text"),
        ({"query": "sum", "text": "red"}, 422, "reference image"),
        ({"query": "both", "text": "red"}, 422, "query"),
        ({"image_id": "toys/99.png", "text": "red"}, 404, "toys/99.png"),
        ({"image_id": "../store/rows", "text": "red"}, 404, "in the index"),
        ({"image_id": "toys/04.png", "text": "red", "top": 0}, 422, "top"),
        ({"image_id": "toys/04.png", "text": "red", "top": 10**9}, 422, "top"),
        ({"image_id": "toys/04.png", "text": "r" * 1001}, 422, "text"),
    ],
)
def test_questions_that_cannot_be_answered(client: TestClient, form: dict[str, Any], status: int, says: str) -> None:
    answer = ask(client, **form)
    assert answer.status_code == status and says in answer.json()["error"]


def test_a_broken_upload_without_a_text_is_a_broken_upload(client: TestClient) -> None:
    for text in ("", "red"):
        answer = ask(client, b"no picture", text=text)
        assert answer.status_code == 422 and "picture" in answer.json()["error"]
        assert "needs a text" not in answer.json()["error"]


def test_what_is_no_form_of_a_search_is_refused(client: TestClient) -> None:
    sent = client.post("/api/search", json={"image_id": "toys/04.png", "text": "red"})
    assert sent.status_code == 415
    assert sent.json()["error"] == "a search is sent as a form (multipart/form-data), not as application/json"
    for upload in (None, png(Image.new("RGB", (40, 40)))):
        unknown = ask(client, upload, text="red", query="text", tpo="3")
        assert unknown.status_code == 422
        assert unknown.json()["error"].startswith("there is no field 'tpo'; a search has image, image_id, model, query")


@pytest.mark.parametrize("query", ["composed", "image", "text", "sum"])
def test_several_references_are_asked_together(
    client: TestClient, searcher: Searcher, pictures: Path, query: str
) -> None:
    one, other = (ImageFiles(pictures).open(path) for path in ("toys/04.png", "toys/11.png"))
    form = {"image_id": "toys/04.png", "text": "a red circle", "query": query, "top": 7}
    answer = ask(client, png(other), **form, weight=["3", "1"]).json()
    text = None if query == "image" else "a red circle"
    made = "sum" if query == "sum" else "composed"
    right = (
        searcher.search(None, text, 7, ("toys/04.png",))
        if query == "text"
        else searcher.search([one, other], text, 7, made=made, weights=(3, 1))
    )
    assert [hit["image_id"] for hit in answer["hits"]] == [hit.image_id for hit in right]
    assert (answer["image_id"], answer["image_ids"]) == ("toys/04.png", ["toys/04.png"])
    both = ask(client, image_id=["toys/04.png", "toys/11.png"], text="a red circle", top=36).json()
    assert both["image_ids"] == ["toys/04.png", "toys/11.png"]
    assert not {"toys/04.png", "toys/11.png"} & {hit["image_id"] for hit in both["hits"]}


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"image_id": [f"toys/0{number}.png" for number in range(5)]}, "at most 4"),
        ({"image_id": ["toys/04.png", "toys/05.png"], "weight": ["1"]}, "1 weights for 2"),
        ({"image_id": ["toys/04.png", "toys/05.png"], "weight": ["1", "0"]}, "above 0"),
        ({"image_id": ["toys/04.png", "toys/05.png"], "weight": ["1", "nan"]}, "above 0"),
        ({"image_id": ["toys/04.png"], "weight": ["x"]}, "weight"),
    ],
)
def test_several_references_with_faults_are_refused(client: TestClient, form: dict[str, Any], says: str) -> None:
    answer = ask(client, text="red", **form)
    assert answer.status_code == 422 and says in answer.json()["error"]


@pytest.mark.parametrize("query", ["count=0", "count=201", "count=x", "seed=-1", "seed=1e9"])
def test_bad_numbers_are_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/images?{query}")
    assert answer.status_code == 422 and query.split("=")[0] in answer.json()["error"]


def test_thumbnails_are_small_jpegs(client: TestClient, service: SearchService, pictures: Path) -> None:
    Image.new("RGB", (900, 300), "red").save(pictures / "toys/04.large.png")
    answer = client.get("/thumbnail/toys%2F04.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.content)) as opened:
        assert (opened.format, opened.size) == ("JPEG", (48, 40))
    assert max(opened.size) <= THUMBNAIL_PX


@pytest.mark.parametrize(
    "image_id", ["toys/99.png", "../store/rows", "%2e%2e/store", "/etc/passwd", "toys/04.large.png", "a%00b", ""]
)
def test_only_images_of_the_index_have_thumbnails(client: TestClient, pictures: Path, image_id: str) -> None:
    Image.new("RGB", (90, 30), "red").save(pictures / "toys/04.large.png")
    answer = client.get(f"/thumbnail/{image_id.replace('/', '%2F')}")
    assert answer.status_code == 404 and str(pictures) not in answer.text


def test_a_path_of_the_index_that_leaves_the_root_is_not_opened(searcher: Searcher, tmp_path: Path) -> None:
    rows = [{**row} for row in searcher.rows]
    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret.png").write_bytes(png(Image.new("RGB", (9, 9))))
    rows[4]["path"] = "../secret.png"
    moved = Searcher(searcher.index, IndexedImages.of(rows), lambda: searcher.network)
    browser = TestClient(
        create_app(SearchService(Models(moved), ImageFiles(tmp_path / "pictures")), "x"), "http://localhost"
    )
    for answer in (browser.get("/thumbnail/toys%2F04.png"), ask(browser, image_id="toys/04.png", query="image")):
        assert answer.status_code == 404 and "outside the root" in answer.json()["error"]
        assert str(tmp_path) not in answer.text


def test_without_a_token_only_loopback_names_are_answered(client: TestClient) -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert client.get("/api/images", headers={"host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "[::2]", ""):
        answer = client.get("/", headers={"host": host})
        assert answer.status_code == 403 and "localhost" in answer.json()["error"]


@pytest.mark.parametrize(
    "hosts",
    [
        ["localhost:x"],
        ["localhost:80:80"],
        ["localhost:"],
        ["localhost:123456"],
        ["localhost:80@evil.example"],
        ["[::1]evil.example"],
        ["[::1].evil.example:80"],
        ["localhost\u00b2"],
        ["localhost", "localhost"],
        ["evil.example", "localhost"],
        ["localhost", "evil.example"],
        [],
    ],
    ids=repr,
)
def test_the_host_is_one_exact_name_and_perhaps_a_port(hosts: list[str]) -> None:
    headers = [(b"host", host.encode("latin-1")) for host in hosts]
    access = AccessControl(FastAPI(), "", 1)
    refused = access.refusal({"type": "http", "method": "GET", "path": "/", "headers": headers})
    assert refused is not None and refused[0] == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://evil.example", 403),
        ("https://127.0.0.1:8000", 403),
        ("http://127.0.0.1:8001", 403),
        ("http://localhost:8000", 403),
        ("http://127.0.0.1:8000.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_origin_cannot_post_here(client: TestClient, origin: str, status: int) -> None:
    headers = {"host": "127.0.0.1:8000", "origin": origin}
    answer = client.post("/api/search", data={"text": "red", "query": "text"}, headers=headers)
    assert answer.status_code == status
    assert status == 200 or "another origin" in answer.json()["error"]


def test_with_the_token_another_origin_may_post(service: SearchService) -> None:
    locked = TestClient(create_app(service, "x", SECRET), "http://pictures.example")
    form, foreign = {"text": "red", "query": "text"}, {"Origin": "http://shop.example"}
    right = {"Authorization": f"Bearer {SECRET}"}
    assert locked.post("/api/search", data=form, headers={**foreign, **right}).status_code == 200
    assert locked.post("/api/search", data=form, headers=foreign).status_code == 401


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/images", "/thumbnail/toys%2F04.png", "/openapi.json", "/none"])
def test_head_answers_as_get_does_without_the_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_with_a_token_all_data_needs_it(service: SearchService) -> None:
    locked = TestClient(create_app(service, "x", SECRET), "http://pictures.example")
    right = {"Authorization": f"Bearer {SECRET}"}
    for path in ("/api/images", "/api/models", "/thumbnail/toys%2F04.png", "/openapi.json"):
        assert locked.get(path, headers=right).status_code == 200
        for wrong in ({}, {"Authorization": SECRET}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
            answer = locked.get(path, headers=wrong)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(locked, text="red", query="text").status_code == 401
    assert [locked.get(path).status_code for path in ("/", "/page.js")] == [200, 200]


def test_many_at_once_get_what_one_alone_gets(client: TestClient) -> None:
    questions = [
        {"image_id": row["image_id"], "text": text, "query": query, "top": 36}
        for row in image_rows()[:8]
        for text in ("a red circle", "a blue bar")
        for query in ("composed", "image", "text")
    ]
    alone = [ask(client, **question).json() for question in questions]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda question: ask(client, **question).json(), questions))
    for one, other in zip(alone, together, strict=True):
        assert [hit["image_id"] for hit in one["hits"]] == [hit["image_id"] for hit in other["hits"]]
        assert [hit["score"] for hit in one["hits"]] == pytest.approx([hit["score"] for hit in other["hits"]])


def test_the_schema_describes_the_api_and_nothing_is_fetched_from_elsewhere(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    probes = {"/health", "/ready", "/metrics"}
    data = {"/api/images", "/api/models", "/api/filters", "/api/search"}
    assert set(schema["paths"]) == probes | data | {"/thumbnail/{image_id}"}
    assert "multipart/form-data" in schema["paths"]["/api/search"]["post"]["requestBody"]["content"]
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for text in (page.text, client.get("/page.js").text, json.dumps(schema)):
        assert "http://" not in text and "https://" not in text
    assert "innerHTML" not in client.get("/page.js").text


def test_health_and_readiness_need_no_token(searcher: Searcher, pictures: Path) -> None:
    service = SearchService(Models(searcher, fingerprint="f00d"), ImageFiles(pictures))
    probe = TestClient(create_app(service, "x", SECRET), "http://10.0.0.7")
    assert (probe.get("/health").status_code, probe.get("/health").json()) == (200, {"status": "ok"})
    assert probe.get("/ready").status_code == 503, "its models are not loaded yet"
    service.warm_up()
    answer = probe.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "index": "f00d", "images": 36})


def test_metrics_count_requests_by_route_and_status(searcher: Searcher, pictures: Path) -> None:
    metrics = Metrics()
    service = SearchService(Models(searcher), ImageFiles(pictures), metrics.count_batch)
    client = TestClient(create_app(service, "x", metrics=metrics), "http://localhost")
    for _ in range(3):
        assert ask(client, text="red", query="text").status_code == 200
    ask(client, text="", query="text")
    client.get("/thumbnail/toys%2F04.png")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    for line in (
        'spn4cir_requests_total{route="/api/search",status="200"} 3.0',
        'spn4cir_requests_total{route="/api/search",status="422"} 1.0',
        'spn4cir_requests_total{route="/thumbnail",status="200"} 1.0',
        'spn4cir_requests_total{route="other",status="404"} 1.0',
        'spn4cir_request_seconds_count{route="/api/search"} 4.0',
        "spn4cir_batch_requests_sum 3.0",
    ):
        assert line in text.splitlines()
    locked = TestClient(create_app(service, "x", SECRET), "http://localhost")
    assert locked.get("/metrics").status_code == 401


def test_more_requests_than_can_wait_are_asked_to_come_again(service: SearchService) -> None:
    full = create_app(service, "x")
    for added in full.user_middleware:
        if added.cls is RequestLimit:
            added.kwargs["most"] = 0
    answer = ask(TestClient(full, "http://localhost"), text="red", query="text")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "again in 1 s" in answer.json()["error"]


def test_the_description_shows_an_answer(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    (example,) = schema["components"]["schemas"]["Answer"]["examples"]
    assert Answer.model_validate(example).hits[0].rank == 0
