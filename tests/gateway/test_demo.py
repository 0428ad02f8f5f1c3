"""`kneo demo`, wherever and by whomever it is started."""

from pathlib import Path

from tests.gateway.support_service import kneo


def test_the_demo_leaves_the_callers_settings_and_state_alone(tmp_path: Path) -> None:
    done = kneo(
        *("demo", "--once"),
        folder=tmp_path,
        KNEO_SERV_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        KNEO_SERV_STATE_PATH=str(tmp_path / "mine.sqlite"),
        KNEO_SERV_API_KEYS="a:key:viewer",
        KNEO_ENV="prod",
    )
    assert done.returncode == 0, done.stderr
    assert "run is completed: Final answer: hello" in done.stdout
    assert list(tmp_path.iterdir()) == []
