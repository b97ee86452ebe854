"""A real browser: Debian's Chromium without a screen, driven by its own driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


class Browser:
    """Chromium, with words for what a person does."""

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver

    def one(self, selector: str) -> WebElement:
        """The first element that the CSS selector finds, once it is there."""
        return self._wait().until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, selector), f"nothing on the page is {selector}"
        )

    def until_says(self, selector: str, words: str, patience_s: int = PATIENCE_S) -> None:
        """Wait until the element holds these words, without ever reloading the page."""
        self._wait(patience_s).until(
            lambda driver: any(words in found.text for found in driver.find_elements(By.CSS_SELECTOR, selector)),
            f"{selector} does not say {words!r}",
        )

    def until_gone(self, selector: str) -> None:
        """Wait until nothing on the page is that."""
        self._wait().until_not(
            lambda driver: driver.find_elements(By.CSS_SELECTOR, selector), f"{selector} is still there"
        )

    def type(self, selector: str, words: str) -> None:
        field = self.one(selector)
        field.clear()
        field.send_keys(words)

    def picture(self, file: Path) -> None:
        """A screenshot as PNG."""
        self.driver.save_screenshot(str(file))

    def faults(self) -> list[str]:
        """What the page's scripts and policies complained about."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def _wait(self, patience_s: int = PATIENCE_S) -> WebDriverWait[WebDriver]:
        # A live page replaces elements while they are looked at.
        ignored = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self.driver, patience_s, poll_frequency=0.1, ignored_exceptions=ignored)


@contextmanager
def chromium(profile: Path, *, scripts: bool = True) -> Iterator[Browser]:
    """A fresh browser that trusts any certificate; `scripts` False is one without JavaScript."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
