"""Judging over HTTP: stored with judge and model; refused from elsewhere, without the token, beyond limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.judgements import judgement_log
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import EVIL, NAME

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from starlette.testclient import TestClient

from spn4cir_core.search.api import create_app

TRAIN, EVALUATION = "toys/04.png", "toys/20.png"
SECRET = "correct horse"


@pytest.fixture
def judging(store: Store) -> Iterator[Judging]:
    own = Judging(store, NAME)
    yield own
    for path in store.root.glob(f"{judgement_log.FILE}*"):
        path.unlink()


@pytest.fixture
def service(searcher: Searcher, pictures: Any, index: Artifact) -> SearchService:
    return SearchService(Models(searcher, fingerprint=index.fingerprint), ImageFiles(pictures))


@pytest.fixture
def client(service: SearchService, judging: Judging) -> TestClient:
    return TestClient(create_app(service, "toys", judging=judging), "http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def given(client: TestClient) -> dict[str, Any]:
    """A judgement on the first hit of a query, as the page sends it."""
    answer = client.post("/api/search", data={"image_id": EVALUATION, "text": "a red bar"}).json()
    first = answer["hits"][0]
    return {
        "judge": "Ann",
        "model": answer["model"],
        "index": answer["index"],
        "image_ids": answer["image_ids"],
        "text": answer["text"],
        "image_id": first["image_id"],
        "rank": first["rank"],
        "verdict": "right",
    }


def own(client: TestClient, given: dict[str, Any], judge: str = "Ann") -> Any:
    query = {"index": given["index"], "image_id": given["image_ids"], "text": given["text"], "judge": judge}
    return client.get("/api/judgements", params=query).json()


def test_a_judgement_is_kept_with_all_that_belongs_to_it(
    client: TestClient, judging: Judging, given: dict[str, Any], store: Store, index: Artifact
) -> None:
    answer = client.post("/api/judgements", json=given)
    assert (answer.status_code, answer.json()) == (201, {"purpose": "evaluation"})
    (judgement,) = judging.log.judgements()
    assert (judgement.judge, judgement.model, judgement.rank, judgement.verdict) == ("Ann", "blend", 0, "right")
    assert (judgement.reference_ids, judgement.modified_text) == ((EVALUATION,), "a red bar")
    blend = store.current(NAME, "blend")
    assert blend is not None and judgement.model_fingerprint == blend.fingerprint
    assert judgement.index_fingerprint == index.fingerprint and judgement.image_id == given["image_id"]


def test_a_reload_shows_what_its_judge_has_said(client: TestClient, given: dict[str, Any]) -> None:
    assert own(client, given) == {"purpose": "evaluation", "verdicts": {}}
    client.post("/api/judgements", json=given)
    client.post("/api/judgements", json={**given, "judge": "Bob", "verdict": "wrong"})
    assert own(client, given)["verdicts"] == {given["image_id"]: "right"}
    assert own(client, given, "Bob")["verdicts"] == {given["image_id"]: "wrong"}
    client.post("/api/judgements", json={**given, "verdict": "withdrawn"})
    assert own(client, given)["verdicts"] == {}


def test_none_of_these_is_of_the_whole_query(client: TestClient, judging: Judging, given: dict[str, Any]) -> None:
    whole = {**given, "image_id": "", "rank": None, "verdict": "none", "shown": ["toys/21.png", "toys/22.png"]}
    assert client.post("/api/judgements", json=whole).status_code == 201
    assert judging.log.judgements()[0].shown_ids == ("toys/21.png", "toys/22.png")
    assert own(client, given)["verdicts"] == {"": "none"}


def test_names_and_texts_stay_text(client: TestClient, judging: Judging, given: dict[str, Any]) -> None:
    name = f"{EVIL}'); DROP TABLE judgements; --"
    client.post("/api/judgements", json={**given, "judge": name, "text": f"  {EVIL} "})
    (judgement,) = judging.log.judgements()
    assert (judgement.judge, judgement.modified_text) == (name, EVIL)


def test_what_a_query_serves_is_decided_before_it_is_judged_and_stays(
    client: TestClient, judging: Judging, given: dict[str, Any], store: Store
) -> None:
    of_training = {**given, "image_ids": [TRAIN]}
    assert own(client, of_training)["purpose"] == "train" and own(client, given)["purpose"] == "evaluation"
    judging.log.add([], {TRAIN: "evaluation"})
    assert client.post("/api/judgements", json=of_training).json() == {"purpose": "evaluation"}
    assert own(client, of_training)["purpose"] == "evaluation"


def test_a_query_over_both_splits_is_not_judged(client: TestClient, judging: Judging, given: dict[str, Any]) -> None:
    both = {**given, "image_ids": [TRAIN, EVALUATION]}
    answer = client.post("/api/judgements", json=both)
    assert answer.status_code == 422 and "different splits" in answer.json()["error"]
    assert own(client, both)["purpose"] is None and judging.log.judgements() == []


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"verdict": "good"}, 422, "verdict"),
        ({"verdict": "none"}, 422, "image_id"),
        ({"image_id": ""}, 422, "image_id"),
        ({"image_id": "", "verdict": "none"}, 422, "shown"),
        ({"image_id": EVALUATION}, 422, "reference image is not a hit"),
        ({"image_id": "toys/99.png"}, 404, "toys/99.png"),
        ({"image_ids": ["../../etc/passwd"]}, 404, "corpus"),
        ({"image_ids": []}, 422, "image_ids"),
        ({"image_ids": [EVALUATION] * 5}, 422, "image_ids"),
        ({"index": "0" * 16}, 404, "no index"),
        ({"index": "../images"}, 422, "index"),
        ({"model": "other"}, 422, "model"),
        ({"text": "  "}, 422, "text"),
        ({"text": "r" * 1001}, 422, "text"),
        ({"judge": "j" * 81}, 422, "judge"),
        ({"rank": -1}, 422, "rank"),
        ({"image_id": "", "verdict": "none", "shown": ["toys/21.png"] * 201}, 422, "shown"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_what_is_no_judgement_is_refused(
    client: TestClient, judging: Judging, given: dict[str, Any], change: dict[str, Any], status: int, says: str
) -> None:
    answer = client.post("/api/judgements", json={**given, **change})
    assert answer.status_code == status and says in answer.json()["error"]
    assert judging.log.judgements() == []


def test_the_queue_gives_query_after_query_and_says_how_wide_the_interval_is(
    client: TestClient, judging: Judging
) -> None:
    def following(judge: str = "Ann") -> Any:
        return client.get("/api/judging/next", params={"judge": judge}).json()

    first = following()
    assert first["number"] == 0 and first["judged"] == 0 and first["total"] > 3 and first["hits"]
    verdict = {"judge": "Ann", "model": "pooled", "index": first["index"], "verdict": "right"}
    query = {"image_ids": [first["reference"]["image_id"]], "text": first["text"]}
    for hit in first["hits"]:
        answer = client.post("/api/judgements", json=verdict | query | {"image_id": hit["image_id"]})
        assert answer.json() == {"purpose": "evaluation"}
    second = following()
    assert (second["number"], second["judged"], second["total"]) == (1, 1, first["total"])
    assert second["half_width"] < first["half_width"]
    assert (second["reference"], second["text"]) != (first["reference"], first["text"])
    assert following("Bob")["reference"] == first["reference"]
    judgement = judging.log.judgements()[0]
    assert judgement.model == "pooled" and "first hits" in judgement.stratum
    assert 0 < judgement.stratum_queries <= first["total"]
    client.post("/api/judgements", json=verdict | query | {"image_id": hit["image_id"], "text": "asked by nobody"})
    assert judging.log.judgements()[-1].stratum == ""


def test_a_full_log_is_said(client: TestClient, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement_log, "MOST_JUDGEMENTS", 1)
    assert client.post("/api/judgements", json=given).status_code == 201
    answer = client.post("/api/judgements", json=given)
    assert answer.status_code == 422 and "at most 1" in answer.json()["error"]


def test_pages_of_other_sites_cannot_judge(client: TestClient, judging: Judging, given: dict[str, Any]) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9"):
        answer = client.post("/api/judgements", json=given, headers={"origin": origin})
        assert answer.status_code == 403
    assert client.post("/api/judgements", json=given, headers={"host": "evil.example"}).status_code == 403
    assert judging.log.judgements() == []
    assert client.post("/api/judgements", json=given, headers={"origin": "http://127.0.0.1"}).status_code == 201


def test_a_locked_server_takes_judgements_with_its_token_only(
    service: SearchService, judging: Judging, given: dict[str, Any]
) -> None:
    locked = TestClient(create_app(service, "toys", SECRET, judging), "http://any.example")
    assert locked.post("/api/judgements", json=given).status_code == 401
    assert locked.post("/api/judgements", json=given, headers={"authorization": "Bearer no"}).status_code == 401
    assert locked.get("/api/judgements").status_code == 401 and judging.log.judgements() == []
    token = {"authorization": f"Bearer {SECRET}"}
    assert locked.post("/api/judgements", json=given, headers=token).status_code == 201


def test_a_server_without_a_log_takes_none(service: SearchService, given: dict[str, Any]) -> None:
    without = TestClient(create_app(service, "toys"), "http://127.0.0.1")
    assert without.post("/api/judgements", json=given).status_code == 404
    assert not without.get("/api/models").json()["judging"]


def test_every_address_of_the_api_is_a_route_of_the_metrics(client: TestClient) -> None:
    addresses = [address for address in client.get("/openapi.json").json()["paths"] if "{" not in address]
    for address in addresses:
        client.get(address)
    figures = client.get("/metrics").text
    assert "/api/judgements" in addresses
    assert [address for address in addresses if f'spn4cir_requests_total{{route="{address}"' not in figures] == []
