"""The HTTP server as its readers see it: a Prometheus parser over the metrics, and Chromium over the page.

One router runs with a filter, an output that takes everything, one that reaches nobody, and names that try to break out of the
page. What the parser reads has to be whole and to add up; the page has to be right, alive, readable in both colour schemes and
on a telephone, usable without a mouse, and to run nothing but its own script.
"""

import json
import os
import socket
import time
import urllib.request

import support

# isort: split
import selenium.webdriver
from prometheus_client.parser import text_string_to_metric_families
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

RECORDS = 500
DROPPED = 100
HOSTILE = "<img-src=x-onerror=document.title='broken'>\"&'"
CONFIG = """
[SERVICE]
    Flush 0.1
    Grace 1
    HTTP_Server On
    HTTP_Listen 127.0.0.1
    HTTP_Port {http}
    Health_Check On
    Hot_Reload On
[INPUT]
    Name forward
    Alias {hostile}
    Listen 127.0.0.1
    Port {forward}
[FILTER]
    Name grep
    Match *
    Exclude log ^drop
[OUTPUT]
    Name file
    Match *
    Path {folder}
    File all.log
[OUTPUT]
    Name cloudwatch_logs
    Match app
    Region us-east-1
    Endpoint 127.0.0.1:{nobody}
    tls Off
    log_group_name group
    log_stream_name <b>stream</b>
    auto_create_group On
"""


class Monitored:
    """A router with its HTTP server."""

    def __init__(self, http, forward):
        self.url = f"http://127.0.0.1:{http}"
        self.connection = socket.create_connection(("127.0.0.1", forward))

    def get(self, path):
        """The body of an answer; an error status raises."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def send(self, count, text):
        """Sends events with this text."""
        for _ in range(count):
            support.send(self.connection, "app", time.time_ns(), {"log": text})

    def families(self, path):
        """The metrics of an endpoint as the parser reads them, by name. A name that comes twice is an error of the text."""
        found = {}
        for family in text_string_to_metric_families(self.get(path)):
            if family.name in found:
                raise ValueError(f"{path}: {family.name} comes twice")
            found[family.name] = family
        return found


def value(families, metric, **labels):
    """The value of one series, or None."""
    for family in families.values():
        for sample in family.samples:
            if sample.name == metric and labels.items() <= sample.labels.items():
                return sample.value
    return None


def check_metrics(checks, router):
    """Parses all three expositions and adds them up."""
    kept = RECORDS - DROPPED

    def delivered():
        return value(router.families("/metrics"), "sluice_output_delivered_records_total", name="file.0") == kept

    support.wait_until(delivered, 20, "the file output to deliver")
    for path in ("/api/v1/metrics/prometheus", "/api/v2/metrics/prometheus", "/metrics"):
        families = router.families(path)
        documented = [f.name for f in families.values() if not f.documentation or f.type == "unknown"]
        checks.check(f"{path}: every metric has HELP and TYPE", not documented, documented or len(families))
        read = {
            "fluentbit_input_records_total": (RECORDS, {"name": HOSTILE}),
            "fluentbit_filter_drop_records_total": (DROPPED, {"name": "grep.0"}),
            "fluentbit_output_proc_records_total": (kept, {"name": "file.0"}),
        }
        wrong = {n: value(families, n, **labels) for n, (want, labels) in read.items() if value(families, n, **labels) != want}
        checks.check(f"{path}: the counters are those of the load", not wrong, wrong)
        stamped = {s.timestamp is not None for n, f in families.items() if n.startswith("fluentbit_output") for s in f.samples}
        checks.check(f"{path}: times stand where Fluent Bit writes them", stamped == {"v1" in path}, stamped)
    families = router.families("/metrics")
    for name in ("file.0", "cloudwatch_logs.1"):
        routed, sent, held = (
            value(families, metric, name=name)
            for metric in (
                "sluice_output_routed_records_total",
                "sluice_output_delivered_records_total",
                "sluice_output_held_records",
            )
        )
        drops = [
            sample.value
            for sample in families["sluice_dropped_records"].samples
            if sample.labels["name"] == name and sample.name.endswith("_total")
        ]
        checks.check(f"{name}: routed = delivered + dropped + held", routed == sent + sum(drops) + held, (routed, sent, held))
    latency = families["fluentbit_output_latency_seconds"]
    counts = [s.value for s in latency.samples if s.name.endswith("_bucket")]
    total = [s.value for s in latency.samples if s.name.endswith("_count")]
    checks.check("the latency is a histogram that only rises", counts == sorted(counts) and total == counts[-1:], counts)


def browser():
    """Headless Chromium that asks nobody but the router."""
    options = selenium.webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return selenium.webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def cell(driver, row, column):
    """The text of a table's cell, by the name of its row and the heading of its column; None while it is not there."""
    script = """
        const [row, column] = arguments;
        for (const table of document.querySelectorAll("table")) {
            const place = [...table.querySelectorAll("thead th")].findIndex((head) => head.textContent === column);
            for (const line of table.querySelectorAll("tbody tr")) {
                if (place > 0 && line.cells[0].textContent === row) { return line.cells[place].textContent; }
            }
        }
        return null;"""
    return driver.execute_script(script, row, column)


def status(driver):
    """What the page says to those who listen, seen or not."""
    return driver.execute_script("return document.querySelector('[role=status]').textContent")


def digits(text):
    """A number without the spaces that group its digits."""
    return int("".join(c for c in text if c.isdigit()))


def check_page(checks, router, driver):
    """What stands on the page, and that it follows the router."""
    driver.get(router.url + "/")
    kept = RECORDS - DROPPED
    checks.check("the page has a title and a language", driver.title.startswith("Sluice on "), driver.title)
    taken = cell(driver, HOSTILE, "Records")
    checks.check("an input with a hostile name stands there as text", taken and digits(taken) == RECORDS, taken)
    checks.check("a filter tells what it dropped", digits(cell(driver, "grep.0", "Dropped")) == DROPPED)
    checks.check("an output tells what it delivered", digits(cell(driver, "file.0", "Records")) == kept)
    held = cell(driver, "cloudwatch_logs.1", "Held")
    checks.check("an output that reaches nobody tells what it holds", digits(held) == kept, held)
    destination = driver.execute_script(
        "return [...document.querySelectorAll('tbody th')].map((th) => th.textContent)"
        ".find((text) => text.includes('<b>stream</b>')) || null"
    )
    checks.check("its destination stands there as text", destination is not None, destination)
    error = cell(driver, "cloudwatch_logs.1", "Last error")
    checks.check("and its last error", error not in (None, "none"), error)
    state = driver.find_element(By.CSS_SELECTOR, ".state strong").text
    checks.check("the state says that a destination fails", state == "Retrying", state)
    smuggled = driver.execute_script("return document.querySelectorAll('main img, main b, main script').length")
    checks.check("nothing of a name became an element", smuggled == 0 and driver.title != "broken", smuggled)

    router.send(10, "more")

    def follows():
        return digits(cell(driver, "file.0", "Records")) == kept + 10

    support.wait_until(follows, 15, "the page to follow")
    checks.check("the page follows the router without being loaded again", True)
    support.wait_until(lambda: status(driver), 10, "the page to say how it stands")
    checks.check("it says how it stands, for those who listen", status(driver) == "Retrying", status(driver))
    navigations = driver.execute_script("return performance.getEntriesByType('navigation').length")
    foreign = driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        ".filter((name) => !name.startsWith(location.origin) && !name.startsWith('data:'))"
    )
    checks.check("it asks nobody but the router", navigations == 1 and not foreign, foreign)

    button = driver.find_element(By.TAG_NAME, "button")
    driver.execute_script("document.querySelector('button').focus()")
    button.send_keys(" ")
    checks.check("a key pauses the updates", button.text == "Resume updates", button.text)
    before = cell(driver, "file.0", "Records")
    router.send(10, "while paused")
    all_log = kept + 20

    def is_delivered():
        return value(router.families("/metrics"), "sluice_output_delivered_records_total", name="file.0") == all_log

    support.wait_until(is_delivered, 20, "ten more to be delivered")
    # Two periods of the script: what does not happen can only be waited for.
    time.sleep(5)
    checks.check("a paused page stands still", cell(driver, "file.0", "Records") == before)
    button.click()
    support.wait_until(lambda: digits(cell(driver, "file.0", "Records")) == all_log, 15, "the page to go on")
    checks.check("a click lets it go on", True)
    said = [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    checks.check("the browser's console has nothing to say", not said, said)


def check_looks(checks, driver, folder):
    """Readable in light and dark, on a wide screen and on a telephone: axe's rules, contrast among them."""
    axe = (support.WORK / "node" / "node_modules" / "axe-core" / "axe.min.js").read_text()
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        for width, height in ((1280, 900), (360, 740)):
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
            driver.execute_script(axe)
            found = driver.execute_async_script("axe.run().then(arguments[0])")
            wrong = [
                {"rule": violation["id"], "at": [node["html"][:120] for node in violation["nodes"]][:3]}
                for violation in found["violations"]
            ]
            name = f"{scheme}, {width} px"
            measured = json.dumps(wrong) if wrong else f"{len(found['passes'])} rules on {ground}"
            checks.check(f"{name}: no rule of accessibility is broken", not wrong, measured)
            contrast = [rule for rule in found["passes"] if rule["id"] == "color-contrast"]
            checks.check(f"{name}: the contrast was measured", contrast and contrast[0]["nodes"])
            wide = driver.execute_script("return document.documentElement.scrollWidth")
            checks.check(f"{name}: the page is not wider than the screen", wide <= width, wide)
            driver.save_screenshot(str(folder / f"page-{scheme}-{width}.png"))


def check_without_script(checks, router):
    """The page is whole without its script, and tells nobody more than a browser."""
    request = urllib.request.Request(router.url + "/", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        page, policy = answer.read().decode(), answer.headers["content-security-policy"]
    checks.check("the server writes the whole page", "file.0</th>" in page, len(page))
    checks.check("the policy allows nothing inline but what it names", "unsafe" not in policy, policy)
    plain = json.loads(router.get("/"))
    checks.check("everybody else gets Fluent Bit's answer", list(plain) == ["fluent-bit"], plain)


def run(checks):
    """Starts the router and looks at it from all sides."""
    http, forward, nobody = support.free_port(), support.free_port(), support.free_port()
    pictures = support.WORK / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    with support.scratch_folder("monitoring") as folder:
        config = CONFIG.format(http=http, forward=forward, nobody=nobody, folder=folder, hostile=HOSTILE)
        with support.router(folder, config) as process:
            process.wait_until_listening(forward)
            process.wait_until_listening(http)
            router = Monitored(http, forward)
            router.send(RECORDS - DROPPED, "keep")
            router.send(DROPPED, "drop")
            check_metrics(checks, router)
            check_without_script(checks, router)
            os.environ["SE_OFFLINE"] = "true"
            driver = browser()
            try:
                check_page(checks, router, driver)
                check_looks(checks, driver, pictures)
                process.stop(within=20)
                support.wait_until(lambda: "does not answer" in status(driver), 15, "the page to notice")
                seen = driver.find_element(By.CSS_SELECTOR, "[role=status]")
                checks.check("the page says when the router is gone", seen.size["height"] > 10, seen.text)
            finally:
                driver.quit()


if __name__ == "__main__":
    support.run_test(run)
