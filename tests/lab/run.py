"""`make run`: from nothing to a cloud with a first guest, in the foreground, told step by step."""

import signal
import time
from pathlib import Path
from types import FrameType

import click

from tests.guest.build import guest_image
from tests.lab.access import ADMIN, Access, open_access
from tests.lab.commands import LabError
from tests.lab.first_guest import SERVER, FirstGuest
from tests.lab.lab import Lab
from tests.lab.plan import CLOUDS_FILE, PROJECT, ROOT, Plan, load
from tests.lab.whole import wait_whole


class Narrator:
    """Tells each step with the seconds since the start, so that a slow one shows itself."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, line: str) -> None:
        click.echo(f"[{time.monotonic() - self._start:5.1f} s] {line}")


@click.command()
@click.option("--hosts", type=int, help="how many; 3 for a new cloud, else as many as it has")
@click.option("--guest", type=bool, default=True, show_default=True, help="whether to boot a first guest")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=True, help="where its state lives")
@click.option("--clouds", type=click.Path(path_type=Path), default=CLOUDS_FILE, show_default=True, help="file to write")
@click.option("--subnet", default=Plan.subnet, show_default=True, help="the first three numbers of its addresses")
@click.option("--link", default=Plan.link, show_default=True, help="the machine's interface to it")
def run(hosts: int | None, guest: bool, root: Path, clouds: Path, subnet: str, link: str) -> None:
    """Run a cloud of simulated hosts until Ctrl-C or `make stop`."""
    say = Narrator()
    earlier = load(root)
    count = hosts or (earlier.hosts_count if earlier else Plan.hosts_count)
    lab = Lab(Plan(root=root, hosts_count=count, subnet=subnet, link=link))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        lab.hold()
        try:
            serve(lab, clouds, guest, say)
        finally:
            say("switching all hosts off")
            lab.down()
    except KeyboardInterrupt:
        say(f"ended; its data stay in {root.name}")
    except LabError as error:
        raise click.ClickException(str(error)) from None


def serve(lab: Lab, clouds: Path, guest: bool, say: Narrator) -> None:
    """Bring the cloud up, tell how to use it, and wait until someone ends it."""
    image = guest_image(say=say)
    lab.boot(say)
    lab.wait_ready(say=say)
    say("waiting for every host's disk and hypervisor")
    wait_whole(lab)
    access = open_access(lab, clouds)
    first = FirstGuest(lab, access, say)
    first.import_image(image.qcow2)
    first.prepare()
    if guest:
        first.boot()
    tell(lab, access, guest)
    lab.wait_end()


def tell(lab: Lab, access: Access, guest: bool) -> None:
    """How to use it; the last line is the one that scripts wait for."""
    click.echo(f"\nuser      {ADMIN}, domain Default, project {ADMIN}")
    click.echo(f"password  in {_short(access.password_file)}")
    click.echo(f"clients   openstack --os-cloud noded server list   ({_short(access.clouds_file)})")
    if guest:
        click.echo(f"guest     .venv/bin/python -m tests.lab ssh {SERVER}")
        click.echo(f"          openstack --os-cloud noded console log show {SERVER}")
    click.echo("end       Ctrl-C here, or: make stop")
    click.echo(f"noded ready: {lab.host(1).url}/")


def _short(path: Path) -> Path:
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    run()
