"""What the chairside page promises to the person at the chair, tried in a real browser on the real service."""

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")

from playwright.sync_api import Browser, JSHandle, Page, Response, Route, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SEGMENT = "**/v1/segment*"
CONTROLS = {"button", "link", "slider", "radio", "checkbox", "textbox", "grid", "gridcell", "group", "radiogroup"}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium on the PATH")
expect.set_options(timeout=30_000)  # a model runs behind the page, perhaps on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, service_url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=service_url)
    # The browser hands file choosers over once it knows that somebody listens, and a key would be faster than that.
    page.on("filechooser", lambda _: None)
    page.goto("/")
    yield page
    page.close()


def choose(page: Page, data: bytes, name: str = "radiograph.png") -> Response:
    """Chooses a file through the page's own button and returns the service's answer."""
    with page.expect_response(SEGMENT) as response, page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="radiograph").click()
        chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})
    return response.value


def choose_and_read(page: Page, data: bytes, name: str = "radiograph.png") -> dict[str, Any]:
    """Chooses a file, waits until the page shows the answer, and returns that answer."""
    answer: dict[str, Any] = choose(page, data, name).json()
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    return answer


def drawn(page: Page) -> set[int]:
    """The FDI numbers of the teeth outlined on the picture."""
    return {int(shape.get_attribute("data-fdi") or 0) for shape in page.locator("#picture path").all()}


def chart_tooth(page: Page, fdi: int) -> Any:
    return page.locator(f"#teeth button[data-fdi='{fdi}']")


def picture_tooth(page: Page, fdi: int) -> Any:
    return page.locator(f"#picture path[data-fdi='{fdi}']")


def tab_until_focused(page: Page, selector: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"the Tab key does not reach {selector}")


def answer_with(page: Page, **changes: Any) -> None:
    """Lets the service's answers through with some members changed."""

    def change(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | changes)

    page.route(SEGMENT, change)


# What is shown


def test_a_chosen_radiograph_is_shown_with_its_teeth_outlined_and_numbered(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)

    found = {tooth["fdi"] for tooth in answer["teeth"]}
    assert found
    assert drawn(page) == found
    assert set(page.locator("#picture text").all_text_contents()) == {str(fdi) for fdi in found}
    assert page.locator("#radiograph").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
        answer["image"]["width"],
        answer["image"]["height"],
    ]


def test_an_outline_lies_on_the_picture_where_the_answer_has_it(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)

    tooth = max(answer["teeth"], key=lambda tooth: tooth["area_px"])
    picture = page.locator("#picture").bounding_box()
    outline = picture_tooth(page, tooth["fdi"]).bounding_box()
    assert picture is not None
    assert outline is not None
    scale = min(picture["width"] / answer["image"]["width"], picture["height"] / answer["image"]["height"])
    left = picture["x"] + (picture["width"] - scale * answer["image"]["width"]) / 2
    top = picture["y"] + (picture["height"] - scale * answer["image"]["height"]) / 2
    assert outline["x"] == pytest.approx(left + scale * tooth["bbox"][0], abs=4)
    assert outline["y"] == pytest.approx(top + scale * tooth["bbox"][1], abs=4)
    assert outline["height"] == pytest.approx(scale * tooth["bbox"][3], abs=6)


def test_the_chart_says_of_each_of_the_32_teeth_whether_it_was_found(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)

    states = {
        int(button.get_attribute("data-fdi") or 0): button.get_attribute("data-state")
        for button in page.locator("#teeth button").all()
    }
    assert len(states) == 32
    assert {fdi for fdi, state in states.items() if state == "missing"} == set(answer["missing"])
    assert {fdi for fdi, state in states.items() if state in {"present", "uncertain"}} == drawn(page)


def test_the_chart_has_the_patients_right_on_the_left(page: Page, phantom_png: bytes) -> None:
    choose_and_read(page, phantom_png)

    upper, lower = page.locator("#teeth tr").all()
    assert [int(number.rstrip("?")) for number in upper.locator("button").all_text_contents()] == [
        *range(18, 10, -1),
        *range(21, 29),
    ]
    assert [int(number.rstrip("?")) for number in lower.locator("button").all_text_contents()] == [
        *range(48, 40, -1),
        *range(31, 39),
    ]


def test_a_tooth_of_low_confidence_is_shown_as_uncertain(page: Page, phantom_png: bytes) -> None:
    teeth = choose_and_read(page, phantom_png)["teeth"]
    doubt = {"confidence": 0.5, "uncertain": True}
    sure = {"confidence": 0.9, "uncertain": False}
    answer_with(page, teeth=[tooth | (doubt if tooth is teeth[0] else sure) for tooth in teeth])
    choose_and_read(page, phantom_png)

    doubtful = chart_tooth(page, teeth[0]["fdi"])
    expect(doubtful).to_have_attribute("data-state", "uncertain")
    expect(doubtful).to_have_accessible_name(re.compile(rf"^{teeth[0]['fdi']}, .+, uncertain, only 50 % sure$"))
    expect(page.locator("#teeth [data-state='uncertain']")).to_have_count(1)
    expect(page.locator("#verdict")).to_contain_text("1 uncertain")


def test_a_picture_without_an_error_can_be_used(page: Page, phantom_png: bytes) -> None:
    warning = {"code": "w", "severity": "warning", "message": "The contrast is low.", "value": 0.1, "limit": 0.15}
    answer_with(page, quality={"suitable": True, "findings": [warning]})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text("Can be used")
    expect(page.locator("#findings li")).to_contain_text(["Warning"])
    expect(page.locator("#findings li")).to_contain_text(["The contrast is low."])


def test_a_picture_with_an_error_is_to_be_taken_again_and_the_page_says_why_first(
    page: Page, phantom_png: bytes
) -> None:
    findings = [
        {"code": "a", "severity": "warning", "message": "The midline is off.", "value": 0.04, "limit": 0.03},
        {"code": "b", "severity": "error", "message": "The picture is not a panoramic.", "value": 1.0, "limit": 0.5},
    ]
    answer_with(page, quality={"suitable": False, "findings": findings})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text("Take again")
    expect(page.locator("#findings p")).to_have_text(["The picture is not a panoramic.", "The midline is off."])
    expect(page.get_by_role("status")).to_contain_text("Take again")
    expect(page.get_by_role("status")).to_contain_text("The picture is not a panoramic.")


@pytest.mark.parametrize(
    ("code", "title"), [("upside-down", "Turn it"), ("sideways", "Turn it"), ("not-a-panoramic", "Cannot be read")]
)
def test_nobody_is_told_to_expose_a_patient_again_where_that_mends_nothing(
    page: Page, phantom_png: bytes, code: str, title: str
) -> None:
    finding = {"code": code, "severity": "error", "message": "The picture lies wrong.", "value": 1.0, "limit": 1.0}
    answer_with(page, quality={"suitable": False, "findings": [finding]})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text(title)
    expect(page.locator("body")).not_to_contain_text("Take again")
    expect(page.locator("#findings")).not_to_contain_text("Measured")
    told = "" if code == "not-a-panoramic" else "found"
    expect(page.locator("#verdict-summary")).to_have_text(re.compile(f"{told}.*" if told else "^$"))


def test_of_a_picture_that_cannot_be_read_no_tooth_is_called_missing(page: Page, phantom_png: bytes) -> None:
    finding = {"code": "not-a-panoramic", "severity": "error", "message": "It is none.", "value": 1.0, "limit": 1.0}
    answer_with(page, quality={"suitable": False, "findings": [finding]})
    answer = choose_and_read(page, phantom_png)

    assert answer["missing"]
    expect(page.locator("#teeth [data-state='missing']")).to_have_count(0)
    unknown = page.locator("#teeth [data-state='unknown']")
    expect(unknown).to_have_count(32 - len(answer["teeth"]))
    expect(unknown.first).to_have_attribute("aria-label", re.compile("not known"))


def test_on_a_small_screen_only_the_tooth_that_is_picked_has_its_number(page: Page, phantom_png: bytes) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    teeth = choose_and_read(page, phantom_png)["teeth"]

    expect(page.locator("#picture text:visible")).to_have_count(0)
    expect(page.get_by_role("checkbox", name="Tooth numbers")).to_be_hidden()
    chart_tooth(page, teeth[0]["fdi"]).click()
    expect(page.locator("#picture text:visible")).to_have_count(1)


def test_the_findings_are_those_of_the_answer(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)

    messages = {finding["message"] for finding in answer["quality"]["findings"]}
    assert set(page.locator("#findings li:not(.none) p").all_text_contents()) == messages


def test_the_time_bar_adds_up_to_the_round_trip(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)

    shares = page.locator("#time-bar span").evaluate_all("parts => parts.map(part => Number(part.style.flexGrow))")
    stages = {name: ms for name, ms in answer["timings_ms"].items() if name != "total"}
    assert sum(shares[: len(stages)]) == pytest.approx(sum(stages.values()))
    assert sum(shares[:-1]) == pytest.approx(answer["timings_ms"]["total"], rel=0.01)
    assert shares[-1] > 0
    expect(page.get_by_role("table", name="Where the time went")).to_contain_text("Round trip")


def test_the_foot_names_the_model_and_says_that_this_is_no_medical_device(page: Page, phantom_png: bytes) -> None:
    model = choose_and_read(page, phantom_png)["model"]

    foot = page.get_by_role("contentinfo")
    for word in (model["name"], model["version"], model["provider"], "Not a medical device"):
        expect(foot).to_contain_text(word)
    expect(foot.get_by_role("link")).to_have_attribute("href", "docs")


def test_a_tiff_is_shown_by_the_picture_that_the_service_sends(page: Page, phantom_png: bytes) -> None:
    tiff = io.BytesIO()
    Image.open(io.BytesIO(phantom_png)).save(tiff, "tiff")
    answer = choose_and_read(page, tiff.getvalue(), "radiograph.tif")

    assert answer["overlay"]["media_type"] == "image/jpeg"
    width = page.locator("#radiograph").evaluate("image => image.naturalWidth")
    assert width == answer["image"]["width"]
    assert drawn(page)


# Ways in


def handed_over(page: Page, data: bytes) -> JSHandle:
    return page.evaluate_handle(
        """data => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
            transfer.items.add(new File([bytes], "radiograph.png", { type: "image/png" }));
            return transfer;
        }""",
        base64.b64encode(data).decode(),
    )


def test_a_dropped_radiograph_is_taken(page: Page, phantom_png: bytes) -> None:
    page.locator("#invitation").dispatch_event("drop", {"dataTransfer": handed_over(page, phantom_png)})

    expect(page.locator("body")).to_have_attribute("data-state", "done")
    assert drawn(page)


def test_a_pasted_radiograph_is_taken(page: Page, phantom_png: bytes) -> None:
    page.evaluate(
        "clipboardData => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData }))",
        handed_over(page, phantom_png),
    )

    expect(page.locator("body")).to_have_attribute("data-state", "done")
    assert drawn(page)


def test_the_keyboard_alone_leads_from_a_radiograph_to_a_tooth(page: Page, phantom_png: bytes) -> None:
    tab_until_focused(page, "#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "radiograph.png", "mimeType": "image/png", "buffer": phantom_png})
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    expect(page.locator("#choose-another")).to_be_focused()

    tab_until_focused(page, "#teeth button[data-fdi='18']")
    expect(chart_tooth(page, 18)).to_be_focused()
    for key, fdi in [("ArrowRight", 17), ("ArrowDown", 47), ("End", 38), ("ArrowUp", 28), ("Home", 18)]:
        page.keyboard.press(key)
        expect(chart_tooth(page, fdi)).to_be_focused()
        expect(page.locator("#tooth-detail")).to_contain_text(str(fdi))
    assert chart_tooth(page, 18).evaluate("button => getComputedStyle(button).outlineStyle") == "solid"

    page.keyboard.press("Enter")
    expect(chart_tooth(page, 18)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(chart_tooth(page, 18)).to_have_attribute("aria-pressed", "false")


# Looking closer


def test_the_opacity_slider_takes_the_overlay_from_nothing_to_full(page: Page, phantom_png: bytes) -> None:
    fdi = choose_and_read(page, phantom_png)["teeth"][0]["fdi"]
    slider = page.get_by_role("slider", name="Overlay")

    slider.press("Home")
    expect(picture_tooth(page, fdi)).to_have_css("fill-opacity", "0")
    expect(picture_tooth(page, fdi)).to_have_css("stroke-opacity", "0")
    slider.press("End")
    expect(picture_tooth(page, fdi)).to_have_css("fill-opacity", "1")
    slider.press("ArrowLeft")
    expect(picture_tooth(page, fdi)).to_have_css("fill-opacity", "0.95")


def test_tooth_numbers_can_be_taken_off_the_picture(page: Page, phantom_png: bytes) -> None:
    choose_and_read(page, phantom_png)
    number = page.locator("#picture text").first

    expect(number).to_be_visible()
    page.get_by_role("checkbox", name="Tooth numbers").uncheck()
    expect(number).to_be_hidden()


def test_pointing_at_a_tooth_in_the_chart_marks_it_on_the_picture(page: Page, phantom_png: bytes) -> None:
    fdi = choose_and_read(page, phantom_png)["teeth"][0]["fdi"]

    chart_tooth(page, fdi).hover()
    expect(page.locator("#picture path.marked")).to_have_attribute("data-fdi", str(fdi))
    page.get_by_role("heading", level=1).hover()
    expect(page.locator("#picture path.marked")).to_have_count(0)
    chart_tooth(page, fdi).focus()
    expect(page.locator("#picture path.marked")).to_have_attribute("data-fdi", str(fdi))


def test_pointing_at_a_tooth_on_the_picture_marks_it_in_the_chart(page: Page, phantom_png: bytes) -> None:
    tooth = max(choose_and_read(page, phantom_png)["teeth"], key=lambda tooth: tooth["area_px"])

    picture_tooth(page, tooth["fdi"]).dispatch_event("pointerover")
    expect(page.locator("#teeth .marked")).to_have_attribute("data-fdi", str(tooth["fdi"]))
    expect(page.locator("#tooth-detail")).to_contain_text(str(tooth["fdi"]))


def test_the_universal_numbering_renumbers_picture_and_chart(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)
    page.get_by_role("radio", name="Universal").check()

    assert set(page.locator("#picture text").all_text_contents()) == {
        str(each["universal"]) for each in answer["teeth"]
    }
    numbers = [int(number.rstrip("?")) for number in page.locator("#teeth button").all_text_contents()]
    assert numbers == [*range(1, 17), *range(32, 16, -1)]
    for tooth in answer["teeth"]:
        expect(chart_tooth(page, tooth["fdi"]).locator("span")).to_have_text(str(tooth["universal"]))


def test_the_mask_is_saved_in_the_size_of_the_radiograph(page: Page, phantom_png: bytes, tmp_path: Path) -> None:
    answer = choose_and_read(page, phantom_png)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save mask").click()

    assert download.value.suggested_filename == "radiograph.mask.png"
    download.value.save_as(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.size == (answer["image"]["width"], answer["image"]["height"])
        assert mask.getextrema() == (0, 255)


def test_the_saved_json_is_the_answer(page: Page, phantom_png: bytes, tmp_path: Path) -> None:
    answer = choose_and_read(page, phantom_png)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()

    assert download.value.suggested_filename == "radiograph.json"
    download.value.save_as(tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text()) == answer


# When something is wrong


def test_a_text_file_named_png_is_answered_with_the_services_own_sentence(page: Page) -> None:
    problem = choose(page, b"This is a letter, not a radiograph.", "radiograph.png").json()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(problem["title"])
    expect(alert).to_contain_text(problem["detail"])
    expect(page.get_by_role("button", name="Choose a radiograph")).to_be_focused()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_good_radiograph_after_a_bad_file_takes_the_problem_away(page: Page, phantom_png: bytes) -> None:
    choose(page, b"This is a letter, not a radiograph.")
    expect(page.get_by_role("alert")).not_to_be_empty()
    choose_and_read(page, phantom_png)

    expect(page.get_by_role("alert")).to_be_empty()
    assert drawn(page)


def test_a_busy_service_is_asked_again_at_a_click(page: Page, phantom_png: bytes) -> None:
    busy = {
        "type": "urn:panoseg:problem:busy",
        "title": "The service is busy",
        "status": 503,
        "detail": "Wait a little.",
    }
    page.route(
        SEGMENT,
        lambda route: route.fulfill(
            status=503, headers={"Retry-After": "2"}, content_type="application/problem+json", body=json.dumps(busy)
        ),
        times=1,
    )
    choose(page, phantom_png)
    expect(page.get_by_role("alert")).to_contain_text("Wait a little.")

    page.get_by_role("button", name="Try again (best in 2 s)").click()
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    assert drawn(page)


def test_a_service_that_is_gone_is_named_as_such(page: Page, phantom_png: bytes) -> None:
    page.route(SEGMENT, lambda route: route.abort())
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})

    expect(page.get_by_role("alert")).to_contain_text("No answer from the service")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_while_the_answer_is_made_the_page_shows_the_picture_and_says_so(page: Page, phantom_png: bytes) -> None:
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route))
    page.emulate_media(reduced_motion="reduce")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})

    expect(page.get_by_role("status")).to_have_text("Finding the teeth.")
    expect(page.locator("#picture")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#radiograph")).to_be_visible()
    expect(page.get_by_role("button", name="Save JSON")).to_be_disabled()
    assert page.evaluate("document.getAnimations().length") == 0

    held[0].continue_()
    expect(page.locator("#picture")).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("status")).to_contain_text("found")


def test_the_last_radiograph_chosen_is_the_one_answered(page: Page, phantom_png: bytes) -> None:
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route), times=1)
    page.locator("#file").set_input_files({"name": "first.png", "mimeType": "image/png", "buffer": phantom_png})
    expect(page.get_by_role("status")).to_have_text("Finding the teeth.")
    turned = io.BytesIO()
    Image.open(io.BytesIO(phantom_png)).resize((600, 300)).save(turned, "png")
    page.locator("#file").set_input_files({"name": "last.png", "mimeType": "image/png", "buffer": turned.getvalue()})

    expect(page.locator("body")).to_have_attribute("data-state", "done")
    expect(page.locator("#description")).to_contain_text(re.compile("600 . 300"))


def test_an_answer_whose_picture_loads_slowly_is_not_drawn_over_the_next_radiograph(
    page: Page, phantom_png: bytes
) -> None:
    tiff = io.BytesIO()
    Image.open(io.BytesIO(phantom_png)).save(tiff, "tiff")
    page.evaluate(
        """() => {
            const held = new Promise((release) => (window.release = release));
            const decode = HTMLImageElement.prototype.decode;
            HTMLImageElement.prototype.decode = async function () {
                await held;
                return decode.call(this);
            };
        }"""
    )
    choose(page, tiff.getvalue(), "radiograph.tif").finished()
    page.wait_for_function("document.getElementById('radiograph').src")  # the service's picture is being loaded
    page.route(SEGMENT, lambda _: None)  # the next one's answer never comes
    with page.expect_request(SEGMENT):
        page.locator("input[type=file]").set_input_files(
            {"name": "next.png", "mimeType": "image/png", "buffer": phantom_png}
        )
    page.evaluate("window.release()")
    page.wait_for_timeout(500)
    expect(page.locator("body")).to_have_attribute("data-state", "busy")
    expect(page.locator("#picture path")).to_have_count(0)


# For everyone, and only from here


def test_nothing_is_loaded_from_elsewhere_and_the_console_stays_empty(
    browser: Browser, service_url: str, phantom_png: bytes
) -> None:
    page = browser.new_page(base_url=service_url)
    urls: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/")
    choose_and_read(page, phantom_png)
    page.get_by_role("slider").press("End")
    with page.expect_download():
        page.get_by_role("button", name="Save mask").click()
    page.close()

    origin = urlparse(service_url).netloc
    assert {urlparse(url).netloc for url in urls if not url.startswith("blob:")} == {origin}
    assert complaints == []


def test_the_page_forbids_scripts_and_styles_from_elsewhere(page: Page) -> None:
    response = page.reload()

    assert response is not None
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]


@pytest.mark.parametrize("state", ["empty", "done", "problem"])
def test_every_control_has_a_name_for_a_screen_reader(page: Page, phantom_png: bytes, state: str) -> None:
    if state == "done":
        choose_and_read(page, phantom_png)
    if state == "problem":
        choose(page, b"This is a letter, not a radiograph.")
    expect(page.locator("body")).to_have_attribute("data-state", state)

    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    assert controls
    assert [node["role"]["value"] for node in controls if not node["name"]["value"].strip()] == []


def test_the_page_has_a_language_landmarks_and_headings_in_order(page: Page, phantom_png: bytes) -> None:
    choose_and_read(page, phantom_png)

    assert page.locator("html").get_attribute("lang") == "en"
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    levels = [
        int(heading.evaluate("heading => heading.tagName")[1])
        for heading in page.locator("h1, h2, h3").all()
        if heading.is_visible()
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(following - level <= 1 for level, following in pairwise(levels))


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1440, 900), (800, 600), (390, 844)])
def test_no_screen_needs_scrolling_sideways(page: Page, phantom_png: bytes, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    choose_and_read(page, phantom_png)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#picture").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height  # the whole picture is seen without scrolling
