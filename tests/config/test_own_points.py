from gateway.config.load import load_site

SITE = """
site: {{id: elm, name: 榆园, institution: elder-care, timezone: Asia/Shanghai}}
buses:
  plant-room: {{serial: /dev/serial/by-path/usb-0, baud: 9600}}
devices:
  hydrant: {{profile: qdy30a, bus: plant-room, unit: 5, place: 屋顶, owner: 维保单位}}
rules:
  busy: {{point: {point}, above: 70 %, severity: warning, say: 总线忙, owner: 运维, basis: 运维}}
"""


def load(tmp_path, point):
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(point=point), encoding="utf-8")
    return load_site(path)


def test_a_rule_can_watch_the_gateways_own_figures(tmp_path):
    loaded = load(tmp_path, "gateway.bus.plant-room.load")
    assert loaded.site is not None, loaded.problems
    rule = next(rule for rule in loaded.site.rules if rule.name == "busy")
    assert rule.point == "gateway.bus.plant-room.load"
    assert rule.limit == 70


def test_a_figure_that_is_not_there_is_named_with_what_was_meant(tmp_path):
    loaded = load(tmp_path, "gateway.bus.plant-rom.load")
    (problem,) = [problem for problem in loaded.problems if problem.is_error]
    assert problem.code == "unknown_point"
    assert "gateway.bus.plant-room.load" in problem.advice.en
