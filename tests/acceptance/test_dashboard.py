"""A person at a browser signs in, sees the cloud live, makes a server, reads its console and deletes it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.browser import Browser, chromium
from tests.acceptance.clients import Person, Tenant
from tests.acceptance.nodes import NODED, explain
from tests.lab.lab import Lab

pytestmark = pytest.mark.root


def sign_in(browser: Browser, url: str, person: Person) -> None:
    browser.driver.get(url)
    browser.type("input[name=user]", person.user)
    browser.type("input[name=password]", person.password)
    browser.one("button.main").click()


def test_the_administrator_sees_all_nodes_and_one_that_dies(admin: Person, cloud: Lab, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        sign_in(browser, cloud.host(1).url, admin)
        for host in cloud.hosts:
            browser.until_says(f"tr[data-node={host.name}]", "up")
            browser.until_says(f"tr[data-node={host.name}]", host.address)
        browser.until_says("#state", "live")
        cloud.host(3).kill()
        browser.until_says(f"tr[data-node={cloud.host(3).name}]", "down")
        cloud.host(3).start()
        cloud.wait_ready()
        browser.until_says(f"tr[data-node={cloud.host(3).name}]", "up")
        browser.picture(tmp_path / "overview.png")
        browser.one("a[href='/storage']").click()
        for host in cloud.hosts:
            browser.until_says(f"tr[data-disk={host.name}]", "in use")
        browser.until_says("#forecast", "it takes 6 hours of watching to tell")
        browser.until_says("#unsettled", "Every replica is where it should be, and up to date.")
        browser.picture(tmp_path / "storage.png")
        browser.one("a[href='/storage/doctor']").click()
        browser.until_says("#examined", "3 nodes looked at")
        assert browser.faults() == []


def test_a_node_that_is_cut_off_says_so_refuses_at_once_and_goes_on_by_itself(
    admin: Person, cloud: Lab, tmp_path: Path
) -> None:
    lost, other, third = cloud.host(1), cloud.host(2), cloud.host(3)
    with chromium(tmp_path / "profile") as browser:
        sign_in(browser, f"{lost.url}/nodes", admin)
        for host in cloud.hosts:
            browser.until_says(f"tr[data-node={host.name}]", "up")
        browser.one(f"tr[data-node={third.name}] a").click()
        browser.until_says("#node", "Heard by")
        assert browser.one("form[action$=drain] button").is_enabled()
        try:
            cloud.cut(1, 2)
            cloud.cut(1, 3)
            browser.until_says("#cut-off", "This node sees 1 of 3 voting nodes")
            browser.until_says("#cut-off", f"{other.name} can't be reached since")
            browser.picture(tmp_path / "cut-off.png")
            assert not browser.one("form[action$=drain] button").is_enabled()
            refused = lost.run("sh", "-c", f"{NODED} node drain {third.name} 2>&1", check=False)
            assert "sees only 1 of 3 voting nodes, and 2 are needed" in refused, refused
            wait_until(lambda: explain(other, "node", lost.name)["state"]["state"] == "down")
            assert explain(other, "node", lost.name)["state"]["missed_by"] == [other.name, third.name]
        finally:
            cloud.heal()
        browser.until_gone("#cut-off")
        browser.one("a[href='/nodes']").click()
        for host in cloud.hosts:
            browser.until_says(f"tr[data-node={host.name}]", "up")
        cloud.wait_ready()
        assert browser.faults() == []


def wait_until(happened: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"not within {patience_s} s"
        time.sleep(0.2)


def test_a_member_makes_watches_and_deletes_a_server(
    tenant: Tenant, cloud: Lab, image_id: str, small: str, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile") as browser:
        sign_in(browser, f"{cloud.host(2).url}/servers/new", tenant.person)
        browser.type("input[name=name]", "clicked")
        browser.one(f"select[name=image] option[value='{image_id}']").click()
        browser.one(f"select[name=flavor] option[value='{small}']").click()
        assert "openstack server create" in browser.one("#command").get_attribute("textContent")
        browser.one("#new-server button.main").click()
        row = "tr[data-server=clicked]"
        browser.until_says(row, "ACTIVE", 120)
        browser.until_says(row, "10.1.0.")
        browser.one(f"{row} a").click()
        browser.until_says("#console", "=== guest: ready", 120)
        browser.picture(tmp_path / "console.png")
        browser.one("form[action$=delete] button").click()
        browser.driver.switch_to.alert.accept()
        browser.until_gone(row)
        assert browser.faults() == []


def test_the_basics_work_without_scripts(tenant: Tenant, cloud: Lab, image_id: str, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile", scripts=False) as browser:
        sign_in(browser, f"{cloud.host(3).url}/images", tenant.person)
        browser.until_says("main", "guest")
        browser.until_says("main", image_id)
        browser.driver.get(f"{cloud.host(3).url}/servers/new")
        assert browser.one("#new-server button.main").is_displayed()


def test_nobody_gets_in_with_a_wrong_password_or_past_the_sign_in(tenant: Tenant, cloud: Lab, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        sign_in(browser, cloud.host(1).url, Person(cloud, tenant.person.user, "wrong", tenant.person.project))
        browser.until_says(".fault", "Name or password is wrong.")
        browser.driver.get(f"{cloud.host(1).url}/servers")
        assert "/sign-in?next=/servers" in browser.driver.current_url
        assert browser.driver.get_cookies() == []
