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


def top(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["y"]


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


def luminance(*channels: int) -> float:
    """The relative luminance of an sRGB colour, as WCAG 2 has it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (channel / 255 for channel in channels)
    ]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


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
    numbers = {f"{tooth['fdi']}?" if tooth["uncertain"] else str(tooth["fdi"]) for tooth in answer["teeth"]}
    assert set(page.locator("#picture text").all_text_contents()) == numbers
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
    assert {fdi for fdi, state in states.items() if state in {"missing", "perhaps-missing"}} == set(answer["missing"])
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
    expect(doubtful).to_have_accessible_name(re.compile(rf"^{teeth[0]['fdi']}, .+, uncertain \(50 %\): .+$"))
    expect(page.locator("#teeth [data-state='uncertain']")).to_have_count(1)
    expect(page.locator("#verdict")).to_contain_text(f"found (uncertain: {teeth[0]['fdi']})")
    assert page.locator("#picture text", has_text="?").all_text_contents() == [f"{teeth[0]['fdi']}?"]


def test_a_missing_tooth_beside_an_uncertain_one_is_only_perhaps_missing(page: Page, phantom_png: bytes) -> None:
    teeth = [tooth for tooth in choose_and_read(page, phantom_png)["teeth"] if tooth["fdi"] not in {16, 34}]
    missing = sorted({*range(11, 19), *range(21, 29), *range(31, 39), *range(41, 49)} - {each["fdi"] for each in teeth})
    answer_with(page, teeth=teeth, missing=missing, missing_uncertain=[34])
    choose_and_read(page, phantom_png)

    plainly = ", ".join(str(fdi) for fdi in missing if fdi != 34)
    for part in (page.locator("#verdict"), page.get_by_role("status")):
        expect(part).to_contain_text(re.compile(rf"Missing: {plainly}\.?\s*Perhaps missing: 34"))
    expect(page.locator("#teeth [data-state='perhaps-missing']")).to_have_count(1)
    expect(chart_tooth(page, 34)).to_have_attribute("data-state", "perhaps-missing")
    expect(chart_tooth(page, 34)).to_have_accessible_name(
        "34, lower left first premolar, perhaps missing: a neighbouring tooth is uncertain"
    )
    expect(page.get_by_role("list", name="Legend")).to_contain_text("perhaps missing")
    expect(chart_tooth(page, 16)).to_have_attribute("data-state", "missing")


def test_an_answer_that_names_no_doubtful_missing_teeth_has_none(page: Page, phantom_png: bytes) -> None:
    def drop(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        answer.pop("missing_uncertain", None)
        route.fulfill(response=response, json=answer)

    page.route(SEGMENT, drop)
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict")).to_contain_text("Missing: ")
    expect(page.locator("#verdict")).not_to_contain_text("Perhaps")
    expect(page.locator("#teeth [data-state='perhaps-missing']")).to_have_count(0)


@pytest.mark.parametrize("looks", [{"color_scheme": "light"}, {"media": "print"}, {"forced_colors": "active"}])
def test_the_outline_of_an_uncertain_tooth_stands_out_from_a_light_ground(
    page: Page, phantom_png: bytes, looks: dict[str, Any]
) -> None:
    answer = choose_and_read(page, phantom_png)
    answer_with(page, teeth=[tooth | {"uncertain": True} for tooth in answer["teeth"]])
    choose_and_read(page, phantom_png)
    page.emulate_media(**{"color_scheme": "light"} | looks)

    for fdi in (11, 13, 15, 16):
        outline = chart_tooth(page, fdi).locator("svg")
        # Whatever notation the browser gives the colour in, a canvas holds it as bytes.
        red, green, blue = outline.evaluate(
            """tooth => {
                const canvas = new OffscreenCanvas(1, 1).getContext("2d");
                canvas.fillStyle = getComputedStyle(tooth).stroke;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
            }"""
        )
        assert 1.05 / (luminance(red, green, blue) + 0.05) >= 3


def test_the_percentage_of_a_tooth_is_its_confidence_rounded_down(page: Page, phantom_png: bytes) -> None:
    teeth = choose_and_read(page, phantom_png)["teeth"]
    shown = {0.29: 29, 0.57: 57, 0.58: 58, 0.9899: 98, 0.9999: 99, 1.0: 100}
    told = [tooth | {"confidence": confidence} for tooth, confidence in zip(teeth, shown, strict=False)]
    answer_with(page, teeth=told)
    choose_and_read(page, phantom_png)

    for tooth in told:
        words = re.compile(rf"\b{shown[tooth['confidence']]} %")
        expect(chart_tooth(page, tooth["fdi"])).to_have_accessible_name(words)


def test_a_picture_with_nothing_to_object_to_can_be_used(page: Page, phantom_png: bytes) -> None:
    answer_with(page, quality={"suitable": True, "findings": []})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text("Can be used")
    expect(page.get_by_role("region", name="Picture quality")).to_contain_text("not the teeth")


def test_a_picture_with_a_warning_is_to_be_checked_and_a_phone_says_why_before_it_shows_it(
    page: Page, phantom_png: bytes
) -> None:
    warning = {"code": "w", "severity": "warning", "message": "The contrast is low.", "value": 0.1, "limit": 0.15}
    answer_with(page, quality={"suitable": True, "findings": [warning]})
    page.set_viewport_size({"width": 390, "height": 844})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text("Check the picture")
    expect(page.get_by_role("status")).to_contain_text("The contrast is low.")
    expect(page.locator("#findings li")).to_have_text(re.compile(r"^Warning\s*The contrast is low.$"))
    below_each_other = [top(page, part) for part in ("#verdict", "#findings", "#picture", "#chart")]
    assert below_each_other == sorted(below_each_other)


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("upside-down", "Was upside-down"),
        ("sideways", "(Turn it|Was on its side)"),
        ("not-a-panoramic", "Cannot be read"),
    ],
)
def test_nobody_is_told_to_expose_a_patient_again_where_that_mends_nothing(
    page: Page, phantom_png: bytes, code: str, title: str
) -> None:
    finding = {"code": code, "severity": "error", "message": "The picture lies wrong.", "value": 1.0, "limit": 1.0}
    answer_with(page, quality={"suitable": False, "findings": [finding]})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text(re.compile(f"^{title}$"))
    expect(page.locator("body")).not_to_contain_text("Take again")
    expect(page.locator("#findings")).not_to_contain_text("Measured")
    told = "" if code == "not-a-panoramic" else "found"
    expect(page.locator("#verdict-summary")).to_have_text(re.compile(f"{told}.*" if told else "^$"))


def test_of_a_picture_that_cannot_be_read_nothing_is_said_of_any_tooth(page: Page, phantom_png: bytes) -> None:
    finding = {"code": "not-a-panoramic", "severity": "error", "message": "It is none.", "value": 1.0, "limit": 1.0}
    answer_with(page, quality={"suitable": False, "findings": [finding]})

    assert choose_and_read(page, phantom_png)["teeth"]
    assert drawn(page) == set()
    expect(page.locator("#radiograph")).to_have_attribute("alt", re.compile("cannot be read"))
    expect(page.locator("#teeth [data-state='unknown']")).to_have_count(32)
    expect(chart_tooth(page, 11)).to_have_attribute("aria-label", re.compile("not known"))
    for name in ("Save overlay", "Save mask"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
def test_a_picture_that_lies_turned_is_shown_upright(page: Page, phantom_png: bytes, turn: Image.Transpose) -> None:
    turned = io.BytesIO()
    Image.open(io.BytesIO(phantom_png)).transpose(turn).save(turned, "png")
    choose_and_read(page, turned.getvalue())

    for upper, lower in [(16, 46), (11, 41), (26, 36)]:
        assert top(page, f"#picture path[data-fdi='{upper}']") < top(page, f"#picture path[data-fdi='{lower}']")
    boxes = [picture_tooth(page, fdi).bounding_box() for fdi in (16, 11, 26)]
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    title = "Was upside-down" if turn is Image.Transpose.ROTATE_180 else "Was on its side"
    expect(page.locator("#verdict h2")).to_have_text(title)
    expect(page.get_by_role("status")).to_contain_text("Shown upright here")
    expect(page.locator("#findings")).to_contain_text("a saved mask or overlay lies as the file does")
    expect(page.locator("#tools")).to_contain_text("as the file lies, not upright")
    expect(page.get_by_role("button", name="Save mask")).to_have_accessible_description(re.compile("not upright"))


def test_which_way_a_picture_on_its_side_is_turned_may_be_unknown(page: Page, phantom_png: bytes) -> None:
    finding = {"code": "sideways", "severity": "error", "message": "It lies on its side.", "value": 1.0, "limit": 1.0}
    upper = [tooth for tooth in choose_and_read(page, phantom_png)["teeth"] if tooth["fdi"] < 30]
    answer_with(page, teeth=upper, quality={"suitable": False, "findings": [finding]})
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict h2")).to_have_text("Turn it")
    expect(page.locator("#save-note")).to_be_empty()


def test_on_a_small_screen_only_the_tooth_that_is_picked_has_its_number(page: Page, phantom_png: bytes) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    teeth = choose_and_read(page, phantom_png)["teeth"]

    page.mouse.move(0, 0)  # off the tooth that lies where the button was
    expect(page.locator("#picture text:visible")).to_have_count(0)
    expect(page.locator("#numbers")).to_be_hidden()
    chart_tooth(page, teeth[0]["fdi"]).click()
    expect(page.locator("#picture text:visible")).to_have_count(1)


def test_on_a_phone_each_tooth_of_the_chart_can_be_tapped(
    browser: Browser, service_url: str, phantom_png: bytes
) -> None:
    phone = {"width": 320, "height": 640}
    page = browser.new_page(base_url=service_url, viewport=phone, is_mobile=True, has_touch=True)
    page.on("filechooser", lambda _: None)
    page.goto("/")
    choose_and_read(page, phantom_png)

    expect(page.locator("#tooth-detail")).to_contain_text("Tap a tooth")
    boxes = [button.bounding_box() for button in page.locator("#teeth button").all()]
    assert all(box["width"] >= 24 and box["height"] >= 24 for box in boxes)
    chart_tooth(page, 28).tap()
    expect(page.locator("#tooth-detail")).to_contain_text("28, ")
    assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
    page.close()


def test_a_cut_picture_has_all_numbers_even_on_a_small_screen(page: Page, phantom_png: bytes) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    image = choose_and_read(page, phantom_png)["image"]
    answer_with(page, image=image | {"width": image["width"] // 3})  # what is shown is that much larger
    teeth = choose_and_read(page, phantom_png)["teeth"]

    expect(page.locator("#picture text:visible")).to_have_count(len(teeth))
    expect(page.get_by_role("checkbox", name="Tooth numbers")).to_be_enabled()


def test_what_is_said_of_a_tooth_is_seen_whole_and_moves_nothing_on_the_smallest_screen(
    page: Page, phantom_png: bytes
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    teeth = choose_and_read(page, phantom_png)["teeth"]
    answer_with(page, teeth=[tooth | {"confidence": 0.5, "uncertain": True} for tooth in teeth])
    choose_and_read(page, phantom_png)
    detail = page.locator("#tooth-detail")
    before = top(page, "#teeth") - top(page, "#chart")

    chart_tooth(page, 45).click()  # a long name
    expect(detail).to_contain_text("may be wrong")
    assert detail.evaluate("line => line.scrollWidth <= line.clientWidth && line.scrollHeight <= line.clientHeight")
    assert top(page, "#teeth") - top(page, "#chart") == before


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
    cannot = ("milk teeth", "mirrored")
    for word in (model["name"], model["version"], model["provider"], "Not a medical device", *cannot):
        expect(foot).to_contain_text(word)
    expect(foot.get_by_role("link")).to_have_attribute("href", "docs")


def test_the_page_says_which_file_is_on_show_even_while_it_waits(page: Page, phantom_png: bytes) -> None:
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route))
    with page.expect_request(SEGMENT):
        page.locator("#file").set_input_files({"name": "Ann.png", "mimeType": "image/png", "buffer": phantom_png})
    expect(page.locator("#file-name")).to_have_text("Ann.png")

    held[0].continue_()
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    expect(page.locator("#file-name")).to_have_text("Ann.png")
    expect(page.locator("#description")).to_contain_text(re.compile(r"^\d+ . \d+, PNG"))


@pytest.mark.parametrize("width", [1440, 320])
def test_a_long_file_name_is_seen_whole(page: Page, phantom_png: bytes, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    name = f"{'Mustermann' * 15}.png"
    choose_and_read(page, phantom_png, name)

    shown = page.locator("#file-name")
    expect(shown).to_have_text(name)
    box = shown.bounding_box()
    assert box is not None
    assert shown.evaluate("name => name.scrollWidth <= name.clientWidth")
    assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_are_the_file_and_its_teeth_on_one_light_page_without_controls(page: Page, phantom_png: bytes) -> None:
    page.emulate_media(color_scheme="dark")
    choose_and_read(page, phantom_png, "Ann.png")

    page.get_by_role("radio", name="Universal").check()
    drop_several(page)
    expect(page.get_by_role("alert")).to_be_visible()

    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1
    page.emulate_media(media="print", color_scheme="dark")
    for part in ("#file-name", "#verdict", "#picture", "#chart"):
        expect(page.locator(part)).to_be_visible()
    expect(page.locator("#printed")).to_have_text(
        re.compile(r"^Printed on \d+ \w+ \d{4} at \d\d:\d\d, with Universal numbers$")
    )
    expect(page.get_by_role("heading", name="Dental chart, Universal numbers")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.get_by_role("slider")).to_have_count(0)
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("body")).to_have_css("color", "rgb(20, 33, 42)")


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


def drop_several(page: Page) -> None:
    several = page.evaluate_handle(
        """() => {
            const transfer = new DataTransfer();
            for (const name of ["a.png", "b.png"]) transfer.items.add(new File(["x"], name));
            return transfer;
        }"""
    )
    page.locator("body").dispatch_event("drop", {"dataTransfer": several})


def test_of_several_files_none_is_taken_and_the_page_says_so(page: Page) -> None:
    drop_several(page)

    expect(page.get_by_role("alert")).to_contain_text("One radiograph at a time")
    expect(page.locator("body")).to_have_attribute("data-state", "empty")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_empty()


def test_what_is_refused_while_one_waits_is_still_said_once_the_answer_is_there(page: Page, phantom_png: bytes) -> None:
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route), times=1)
    with page.expect_request(SEGMENT):
        page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})
    drop_several(page)
    held[0].continue_()

    expect(page.locator("body")).to_have_attribute("data-state", "done")
    expect(page.get_by_role("alert")).to_contain_text("One radiograph at a time")
    choose_and_read(page, phantom_png)
    expect(page.get_by_role("alert")).to_be_empty()


WORDS = """() => {
    const transfer = new DataTransfer();
    transfer.setData("text/plain", "https://example.org/radiograph.png");
    return transfer;
}"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_words_that_are_dropped_or_pasted_are_refused_in_a_sentence_that_leaves_the_radiograph(
    page: Page, phantom_png: bytes, way: str
) -> None:
    choose_and_read(page, phantom_png)
    words = page.evaluate_handle(WORDS)
    if way == "drop":
        page.locator("body").dispatch_event("drop", {"dataTransfer": words})
    else:
        page.evaluate("clipboardData => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData }))", words)

    expect(page.get_by_role("alert")).to_contain_text("not text or a link")
    page.get_by_role("button", name="Close").press("Enter")
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("#choose-another")).to_be_focused()
    assert drawn(page)


def test_a_dicom_file_without_an_ending_can_be_chosen_and_keeps_its_name(page: Page, phantom_png: bytes) -> None:
    assert page.locator("#file").get_attribute("accept") is None
    choose_and_read(page, phantom_png, "1.2.840.113619.2.5")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    assert download.value.suggested_filename == "1.2.840.113619.2.5.json"


def test_cleared_nothing_of_a_radiograph_is_left_on_the_page(page: Page, phantom_png: bytes) -> None:
    choose_and_read(page, phantom_png, "Ann.png")
    source = page.locator("#radiograph").get_attribute("src")
    tab_until_focused(page, "#clear")
    page.keyboard.press("Enter")

    expect(page.locator("body")).to_have_attribute("data-state", "empty")
    expect(page.locator("#choose")).to_be_focused()
    expect(page.locator("#clear")).to_be_hidden()
    expect(page.get_by_role("status")).to_be_empty()
    assert "Ann" not in page.content()
    assert drawn(page) == set()
    expect(page.locator("#teeth [data-state='unknown']")).to_have_count(32)
    for part in ("#verdict-title", "#verdict-summary", "#findings", "#time-table"):
        expect(page.locator(part)).to_be_empty()
    loads = (
        "src => { const image = new Image(); image.src = src; return image.decode().then(() => true, () => false); }"
    )
    assert not page.evaluate(loads, source)

    choose_and_read(page, phantom_png)
    assert drawn(page)


@pytest.mark.parametrize(("what", "is_taken"), [("Files", True), ("text/plain", False)])
def test_only_dragged_files_are_invited_to_be_dropped(page: Page, what: str, is_taken: bool) -> None:
    dragged = page.evaluate_handle(
        """what => {
            const transfer = new DataTransfer();
            if (what === "Files") transfer.items.add(new File(["x"], "a.png"));
            else transfer.setData(what, "words");
            return transfer;
        }""",
        what,
    )
    page.locator("body").dispatch_event("dragover", {"dataTransfer": dragged})

    assert page.evaluate("document.body.classList.contains('dragging')") == is_taken


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

    for key in ("Alt+ArrowLeft", "Control+Home", "Control+End", "Meta+ArrowRight"):  # the browser's own
        page.keyboard.press(key)
        expect(chart_tooth(page, 18)).to_be_focused()


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


def test_an_overlay_dimmed_for_one_radiograph_is_back_for_the_next(page: Page, phantom_png: bytes) -> None:
    choose_and_read(page, phantom_png)
    slider = page.get_by_role("slider", name="Overlay")
    save_overlay = page.get_by_role("button", name="Save overlay")
    slider.press("Home")
    expect(save_overlay).to_be_disabled()
    expect(save_overlay).to_have_accessible_description(re.compile("no overlay to save"))
    slider.press("ArrowRight")
    expect(save_overlay).to_be_enabled()

    slider.press("Home")
    choose_and_read(page, phantom_png)
    expect(slider).to_have_value("45")
    expect(page.locator("#opacity-value")).to_have_text("45 %")
    expect(save_overlay).to_be_enabled()


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


def test_the_tooth_with_the_focus_is_marked_again_once_the_pointer_has_left_another(
    page: Page, phantom_png: bytes
) -> None:
    focused, other = (tooth["fdi"] for tooth in choose_and_read(page, phantom_png)["teeth"][:2])
    chart_tooth(page, focused).focus()

    for point, leave in (
        (chart_tooth(page, other).hover, page.get_by_role("heading", level=1).hover),
        (
            lambda: picture_tooth(page, other).dispatch_event("pointerover"),
            lambda: page.locator("#picture > svg").dispatch_event("pointerleave"),
        ),
    ):
        point()
        expect(page.locator("#teeth .marked")).to_have_attribute("data-fdi", str(other))
        leave()
        expect(page.locator("#teeth .marked")).to_have_attribute("data-fdi", str(focused))
        expect(page.locator("#tooth-detail")).to_contain_text(str(focused))
    chart_tooth(page, focused).blur()
    expect(page.locator("#teeth .marked")).to_have_count(0)


def test_a_tooth_picked_on_one_radiograph_is_not_marked_while_the_next_is_read(page: Page, phantom_png: bytes) -> None:
    picked, other = (tooth["fdi"] for tooth in choose_and_read(page, phantom_png)["teeth"][:2])
    chart_tooth(page, picked).click()
    expect(page.locator("#teeth [aria-pressed='true']")).to_have_count(1)

    page.route(SEGMENT, lambda _: None)
    with page.expect_request(SEGMENT):
        page.locator("#file").set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": phantom_png})
    chart_tooth(page, other).hover()
    expect(page.locator("#teeth .marked")).to_have_attribute("data-fdi", str(other))
    expect(page.locator("#teeth [aria-pressed='true']")).to_have_count(0)


def test_pointing_at_a_tooth_on_the_picture_marks_it_in_the_chart(page: Page, phantom_png: bytes) -> None:
    tooth = max(choose_and_read(page, phantom_png)["teeth"], key=lambda tooth: tooth["area_px"])

    picture_tooth(page, tooth["fdi"]).dispatch_event("pointerover")
    expect(page.locator("#teeth .marked")).to_have_attribute("data-fdi", str(tooth["fdi"]))
    expect(page.locator("#tooth-detail")).to_contain_text(str(tooth["fdi"]))


def test_the_universal_numbering_renumbers_picture_and_chart(page: Page, phantom_png: bytes) -> None:
    answer = choose_and_read(page, phantom_png)
    page.get_by_role("radio", name="Universal").check()

    assert {number.rstrip("?") for number in page.locator("#picture text").all_text_contents()} == {
        str(each["universal"]) for each in answer["teeth"]
    }
    expect(page.get_by_role("grid", name="Dental chart, Universal numbers")).to_be_visible()
    numbers = [int(number.rstrip("?")) for number in page.locator("#teeth button").all_text_contents()]
    assert numbers == [*range(1, 17), *range(32, 16, -1)]
    for tooth in answer["teeth"]:
        expect(chart_tooth(page, tooth["fdi"]).locator("span")).to_have_text(str(tooth["universal"]))


def test_the_missing_teeth_are_listed_in_the_chosen_numbering_which_the_next_visit_remembers(
    page: Page, phantom_png: bytes
) -> None:
    answer_with(page, missing=[16, 36])
    choose_and_read(page, phantom_png)

    expect(page.locator("#verdict").get_by_text("Missing: 16, 36", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"FDI numbers\..+Missing: 16, 36\."))
    page.get_by_role("radio", name="Universal").check()
    expect(page.locator("#verdict").get_by_text("Missing: 3, 19", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^Universal numbers\..+Missing: 3, 19\."))
    page.reload()
    expect(page.get_by_role("radio", name="Universal")).to_be_checked()


def test_after_going_back_to_the_page_its_controls_and_its_picture_agree(page: Page, phantom_png: bytes) -> None:
    page.locator("#numbers").evaluate("box => box.click()")
    page.goto("/docs")
    page.go_back()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})
    expect(page.locator("body")).to_have_attribute("data-state", "done")

    is_checked = page.get_by_role("checkbox", name="Tooth numbers").is_checked()
    assert page.locator("#picture text").first.is_visible() == is_checked


def save_image(page: Page, button: str, path: Path) -> Image.Image:
    """What a button saves, under the name that the page gives it."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    assert download.value.suggested_filename == path.name
    download.value.save_as(path)
    with Image.open(path) as image:
        image.load()
    return image


def test_the_overlay_is_saved_in_the_size_of_the_radiograph_and_says_that_its_numbers_are_fdi(
    page: Page, phantom_png: bytes, tmp_path: Path
) -> None:
    answer = choose_and_read(page, phantom_png)
    page.get_by_role("radio", name="Universal").check()
    overlay = save_image(page, "Save overlay (FDI)", tmp_path / "radiograph.overlay.jpg")
    assert overlay.size == (answer["image"]["width"], answer["image"]["height"])
    assert overlay.mode == "RGB"


def test_a_mask_on_its_way_is_not_asked_for_twice_nor_its_failure_told_of_the_next_radiograph(
    page: Page, phantom_png: bytes
) -> None:
    held: list[Route] = []
    page.route("**/v1/mask", lambda route: held.append(route))
    choose_and_read(page, phantom_png)
    button = page.get_by_role("button", name="Save mask")
    button.click()
    expect(button).to_be_disabled()
    button.click(force=True)
    held[0].abort()
    expect(page.get_by_role("alert")).to_contain_text("The mask could not be saved")
    assert len(held) == 1

    page.get_by_role("button", name="Try again").click()
    expect(button).to_be_focused()
    expect(button).to_be_disabled()
    choose_and_read(page, phantom_png)
    expect(button).to_be_enabled()
    held[1].abort()
    page.wait_for_timeout(200)
    expect(page.get_by_role("alert")).to_be_empty()


def test_the_mask_is_saved_in_the_size_of_the_radiograph(page: Page, phantom_png: bytes, tmp_path: Path) -> None:
    answer = choose_and_read(page, phantom_png)
    mask = save_image(page, "Save mask", tmp_path / "radiograph.mask.png")
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
    problem = choose(page, b"This is a letter, not a radiograph.", "letter.png").json()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(problem["title"])
    expect(alert).to_contain_text(problem["detail"])
    expect(alert).to_contain_text("letter.png")
    expect(page.get_by_role("button", name="Choose a radiograph")).to_be_focused()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_role("button", name="Close").press("Enter")
    expect(alert).to_be_empty()
    expect(page.locator("body")).to_have_attribute("data-state", "empty")
    expect(page.get_by_role("button", name="Choose a radiograph")).to_be_focused()


def test_an_empty_file_is_named_as_such(page: Page) -> None:
    choose(page, b"")

    expect(page.get_by_role("alert")).to_contain_text("The file is empty")
    expect(page.get_by_role("alert")).not_to_contain_text("form part")


def test_a_file_that_changes_on_the_disk_is_still_the_one_that_was_chosen(
    page: Page, phantom_png: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "scan.png"
    file.write_bytes(phantom_png)
    page.locator("#file").set_input_files(file)
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    file.write_bytes(b"the next patient's")

    with page.expect_download():
        page.get_by_role("button", name="Save mask").click()


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_service(page: Page, phantom_png: bytes) -> None:
    page.evaluate("() => { File.prototype.arrayBuffer = () => Promise.reject(new Error()); }")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})

    expect(page.get_by_role("alert")).to_contain_text("The file can no longer be read")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


@pytest.mark.parametrize(
    "answered",
    [
        {"status": 200, "content_type": "text/html", "body": "<h1>Sign in</h1>"},
        {"status": 401, "body": ""},
        {"status": 200, "content_type": "application/json", "body": '{"id": "a'},
    ],
)
def test_an_ended_login_before_the_service_is_named_as_such(
    page: Page, phantom_png: bytes, answered: dict[str, Any]
) -> None:
    page.route(SEGMENT, lambda route: route.fulfill(**answered))
    choose(page, phantom_png)

    expect(page.get_by_role("alert")).to_contain_text("reload this page and sign in")


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

    page.get_by_role("button", name="Try again (best in 2 s)").press("Enter")
    expect(page.locator("body")).to_have_attribute("data-state", "done")
    expect(page.locator("#choose-another")).to_be_focused()
    assert drawn(page)


def test_a_service_that_is_gone_is_named_as_such(page: Page, phantom_png: bytes) -> None:
    page.route(SEGMENT, lambda route: route.abort())
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})

    expect(page.get_by_role("alert")).to_contain_text("No answer from the service")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_long_wait_can_be_cancelled_and_has_an_end(page: Page, phantom_png: bytes) -> None:
    page.clock.install()
    page.reload()
    page.route(SEGMENT, lambda _: None)
    radiograph = {"name": "a.png", "mimeType": "image/png", "buffer": phantom_png}
    page.locator("#file").set_input_files(radiograph)
    expect(page.get_by_role("status")).to_have_text("Finding the teeth…")
    page.clock.fast_forward(3000)
    expect(page.get_by_role("status")).to_have_text("Still waiting for the service…")
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("button", name="Choose a radiograph")).to_be_focused()

    page.evaluate("() => { AbortSignal.timeout = (ms) => { window.patience = ms; return AbortSignal.abort(); } }")
    page.locator("#file").set_input_files(radiograph)
    expect(page.get_by_role("alert")).to_contain_text("No answer for more than a minute")
    expect(page.get_by_role("alert")).to_contain_text("The network may be too slow")
    # A minute for the service, and a second for each 250 kB on the way to it.
    assert page.evaluate("window.patience") == pytest.approx(60_000 + len(phantom_png) / 250, abs=1)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_while_the_answer_is_made_the_page_shows_the_picture_and_says_so(page: Page, phantom_png: bytes) -> None:
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route))
    page.emulate_media(reduced_motion="reduce")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": phantom_png})

    expect(page.get_by_role("status")).to_have_text("Finding the teeth…")
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
    expect(page.get_by_role("status")).to_have_text("Finding the teeth…")
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
    assert "frame-ancestors 'self'" in response.headers["content-security-policy"]
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


@pytest.mark.parametrize(
    ("width", "height"),
    [(1920, 1080), (1440, 900), (1366, 768), (1280, 720), (1366, 625), (1120, 700), (800, 600), (390, 844)],
)
def test_no_screen_needs_scrolling_for_the_picture_nor_a_wide_and_high_one_for_the_chart(
    page: Page, phantom_png: bytes, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    choose_and_read(page, phantom_png)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in ["#picture", "#chart"] if width >= 1100 and height >= 720 else ["#picture"]:
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height


@pytest.mark.parametrize(("width", "height"), [(1280, 593), (1366, 625), (1120, 700)])
def test_on_a_low_screen_the_picture_is_as_wide_as_its_frame(
    page: Page, phantom_png: bytes, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    image = choose_and_read(page, phantom_png)["image"]

    box = page.locator("#picture").bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(image["width"] / image["height"], rel=0.01)
