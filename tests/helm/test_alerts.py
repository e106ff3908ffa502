"""The alerts and the dashboard: of metrics that are there; alerts fire, and have runbooks."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from typer.main import get_command

from bao import free_port
from helm.cases import CASES
from helm.engine import CHART, ROOT, Engine, Values, has_tool, the, tool
from privyseald.calls import outcome_of
from privyseald.cli.app import app
from privyseald.telemetry import catalogue
from privyseald.telemetry.catalogue import Kind, Metric
from service import Service

_FILE = CHART / "files" / "alerts.yaml"
_RUNBOOKS = ROOT / "docs" / "runbooks"
_METRICS = {each.name: each for each in vars(catalogue).values() if isinstance(each, Metric)}
# Told by a supervisor of several workers alone.
_OF_WORKERS = {name for name in _METRICS if name.startswith("privyseal_worker")}
# What Prometheus and its operator put beside our labels.
# And by what the chart narrows each rule to its release.
_SCOPE = 'namespace="trading",job="desk-privyseal-headless"'
_TARGET = {"namespace", "job", "instance", "pod", "le", "worker"}


def alerts() -> dict[str, dict[str, Any]]:
    """Return the rules by name."""
    groups = YAML(typ="safe").load(_FILE.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


ALERTS = alerts()


def panels() -> dict[str, list[str]]:
    """Return the dashboard's expressions by their panels."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }


def expressions() -> Iterator[tuple[str, str]]:
    """Return all expressions, with whose they are."""
    for name, rule in ALERTS.items():
        yield name, rule["expr"]
    for title, found in panels().items():
        for expression in found:
            yield title, expression


def metric_of(series: str) -> str:
    """Return the metric that a series in an expression is of."""
    return series if series in _METRICS else re.sub(r"_(bucket|count|sum)$", "", series)


async def test_every_metric_is_one_that_a_server_tells(tmp_path: Path) -> None:
    """At its HTTP port, in a scrape."""
    port = free_port()
    async with Service(tmp_path) as service:
        await service.app.__aexit__()
        config = service.config()
        settings = config.server.model_dump() | {"http_ops_listen": f"127.0.0.1:{port}"}
        service.override("server", settings)
        await service.restart()
        url = f"http://127.0.0.1:{port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            families = [*text_string_to_metric_families(await answer.text())]

    told = {each.name + ("_total" if each.type == "counter" else "") for each in families}
    for owner, expression in expressions():
        used = {metric_of(each) for each in re.findall(r"\b(?:privyseal|process)_\w+", expression)}
        assert used <= told | _OF_WORKERS, owner
        assert used, owner
    assert _OF_WORKERS <= set(_METRICS)


def test_every_label_is_one_that_the_metric_has() -> None:
    """In selectors, in groupings, and in what is told to people."""
    for owner, expression in expressions():
        used = [_METRICS[metric_of(each)] for each in re.findall(r"\bprivyseal_\w+", expression)]
        known = {label for metric in used for label in metric.labels} | _TARGET
        selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
        grouped = [
            label.strip()
            for each in re.findall(r"\b(?:by|without|ignoring) ?\(([^)]*)\)", expression)
            for label in each.split(",")
        ]
        assert {*selected, *grouped} <= known, owner
        text = json.dumps(ALERTS.get(owner, {}).get("annotations", {}))
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= known, owner


def test_every_value_of_a_fixed_label_exists() -> None:
    """Reasons, states, outcomes, scopes: a value that nobody tells would never fire."""
    texts = json.dumps([each.meaning for each in _METRICS.values()])
    reasons = (ROOT / "protos/privyseal/v1/error_reason.proto").read_text()
    procedures = "".join(path.read_text() for path in ROOT.glob("protos/privyseal/v1/*.proto"))
    for owner, expression in expressions():
        for label, value in re.findall(r"(\w+)(?:=~|!~|!=|=)\"([^\"$]*)\"", expression):
            for each in value.replace("(", "|").replace(")", "|").split("|"):
                if label == "reason":
                    assert f"ERROR_REASON_{each} " in reasons, owner
                elif label == "rpc":
                    assert not each or each.split("/")[-1].rpartition(".")[2] in procedures, owner
                elif label == "outcome" and each.isupper():
                    assert f"ERROR_REASON_{each} " in reasons, owner
                elif (label, each) == ("outcome", outcome_of(asyncio.CancelledError())):
                    pass
                elif label != "code":
                    assert f"`{each}`" in texts, (owner, each)


def test_rates_are_of_counters_and_levels_are_not() -> None:
    """`rate()` of a gauge, or a counter without it, means nothing."""
    for owner, expression in expressions():
        for function, series in re.findall(r"(\w+)\((privyseal_\w+)", expression):
            kind = _METRICS[metric_of(series)].kind
            is_rate = function in {"rate", "increase"}
            assert is_rate == (kind is not Kind.GAUGE), (owner, series)


def test_nothing_is_summed_that_each_worker_tells_of_the_same_thing() -> None:
    """Or one pod with two workers would look like two servers, and one key in escrow like two."""
    for owner, expression in expressions():
        for grouping, series in re.findall(r"\bsum( \w+ \([^)]*\) |)\((privyseal_\w+)", expression):
            assert _METRICS[metric_of(series)].adds_up, (owner, grouping, series)


def test_every_alert_has_a_runbook_and_no_runbook_is_left_over() -> None:
    """Of four parts, with the very expression, and in the table."""
    index = (_RUNBOOKS / "README.md").read_text()
    assert {path.stem for path in _RUNBOOKS.glob("*.md")} == {*ALERTS, "README"}
    for name, rule in ALERTS.items():
        text = (_RUNBOOKS / f"{name}.md").read_text()
        parts = ("What it means for trading", "See", "Do", "Over when")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [*parts], name
        assert rule["expr"] in text, name
        assert f"**{rule['labels']['severity']}**" in text, name
        assert f"| [{name}]({name}.md) | {rule['labels']['severity']} |" in index


def test_links_in_runbooks_lead_somewhere() -> None:
    """Between them, and to the other documents."""
    for path in _RUNBOOKS.glob("*.md"):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
            headings = re.findall(r"^#+ (.*)$", (path.parent / target).read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert not anchor or anchor[1:] in slugs, (path.name, anchor)


def test_the_chart_tells_prometheus_where_the_runbooks_are(engine: Engine) -> None:
    """And takes labels, and leaves out what is not wanted."""
    objects = engine.render(CASES["monitoring"])
    rules = [
        rule
        for group in the(objects, "PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]
    ]

    assert {rule["alert"] for rule in rules} == {*ALERTS} - {"PrivysealRpcSlow"}
    for rule in rules:
        url = f"https://runbooks.example.com/{rule['alert']}.md"
        assert rule["annotations"]["runbook_url"] == url
        assert rule["labels"]["team"] == "custody"
        expression = rule["expr"].replace(f"{_SCOPE},", "").replace(f"{{{_SCOPE}}}", "")
        assert expression == ALERTS[rule["alert"]]["expr"]
        assert rule["annotations"]["summary"] == ALERTS[rule["alert"]]["annotations"]["summary"]


def rules_of(engine: Engine, values: Values) -> dict[str, Any]:
    """Return the rules that the chart renders, as a file of Prometheus'."""
    objects = engine.render({"prometheusRule": {"enabled": True}, **values})
    spec: dict[str, Any] = the(objects, "PrometheusRule")["spec"]
    return spec


def test_each_series_in_a_rule_is_of_the_release_alone(engine: Engine) -> None:
    """By the namespace, and by the job that the operator makes of the monitor."""
    jobs = {
        "serviceMonitor": ',job="desk-privyseal-headless"',
        "podMonitor": ',job="trading/desk-privyseal"',
        "neither": "",
    }
    for monitor, job in jobs.items():
        values = {} if monitor == "neither" else {monitor: {"enabled": True}}
        for group in rules_of(engine, values)["groups"]:
            for rule in group["rules"]:
                series = re.findall(r"\b(?:privyseal_\w+|up\b)(\{[^}]*\})?", rule["expr"])
                assert series, rule["alert"]
                for selector in series:
                    assert selector.startswith(f'{{namespace="trading"{job}'), rule["alert"]


@pytest.mark.parametrize(
    ("values", "expires", "ends"),
    [
        ({}, 604800, 86400),
        ({"tls": {"certManager": {"enabled": True}}}, 604800, 86400),
        ({"tls": {"certManager": {"enabled": True, "renewBefore": "1h30m"}}}, 2700, 1350),
        ({"tls": {"csi": {"enabled": True}}}, 600, 300),
        ({"tls": {"csi": {"enabled": True, "driver": "csi.cert-manager.io"}}}, 604800, 86400),
        (
            {
                "tls": {
                    "csi": {
                        "enabled": True,
                        "driver": "csi.cert-manager.io",
                        "volumeAttributes": {"csi.cert-manager.io/duration": "24h"},
                    }
                }
            },
            14400,
            7200,
        ),
        ({"prometheusRule": {"enabled": True, "certificateExpiresSeconds": 60}}, 60, 86400),
    ],
)
def test_a_certificate_that_is_meant_to_be_short_alerts_nobody(
    engine: Engine, values: Values, expires: int, ends: int
) -> None:
    """Until it is late. The callers' CA lives long in any case."""
    if values.get("tls", {}).get("certManager"):
        values["tls"]["certManager"]["issuerRef"] = {"name": "desk"}
    rules = [rule for group in rules_of(engine, values)["groups"] for rule in group["rules"]]
    found = {rule["alert"]: rule["expr"] for rule in rules}

    for name, first, second in (
        ("PrivysealCertificateExpires", expires, 604800),
        ("PrivysealCertificateEnds", ends, 86400),
    ):
        assert [int(each) for each in re.findall(r"< (\d+)", found[name])] == [first, second]


def test_the_dashboard_arrives_byte_by_byte(engine: Engine) -> None:
    """What Grafana calls a variable is none of Helm's."""
    text = the(engine.render(CASES["monitoring"]), "ConfigMap", "-dashboard")["data"]

    assert json.loads(text["privyseal.json"]) == json.loads(
        (CHART / "files" / "dashboard.json").read_text()
    )


def test_panels_do_not_overlap() -> None:
    """Each has a place of its own on a grid of 24 columns."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len(ids) == len({*ids})


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Prometheus' own tool."""
    if not has_tool("promtool"):
        pytest.skip("promtool is not built: that takes Go")
    return subprocess.run(
        [tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_prometheus_takes_the_rules() -> None:
    """As they lie there."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", _FILE)

    assert done.returncode == 0, done.stderr + done.stdout


def test_prometheus_takes_the_panels(tmp_path: Path) -> None:
    """Each expression parses, with Grafana's variables filled in."""
    rules = [
        {
            "record": f"panel:{number}",
            "expr": re.sub(r"\$__rate_interval", "1m", re.sub(r"\$(namespace|job)", ".*", each)),
        }
        for number, each in enumerate(each for found in panels().values() for each in found)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stderr + done.stdout


_AT = 'namespace="trading",job="privyseal",instance="a"'
_STATE = f'privyseal_state_requests_total{{{_AT},operation="advance"'
_READ = f'privyseal_state_requests_total{{{_AT},operation="get"'
_OTHER = 'namespace="trading",job="privyseal",instance="b"'
_SIGN = 'rpc="privyseal.v1.SigningService/Sign"'


@dataclass(frozen=True, slots=True)
class Story:
    """Series, a value a minute, that fire an alert, and others where all is well."""

    sick: dict[str, str]
    well: dict[str, str]
    after: str = "30m"


def gauge(series: str, sick: str, well: str) -> Story:
    """A level that is wrong, or right."""
    return Story({f"{series}": f"{sick}x60"}, {f"{series}": f"{well}x60"})


def counter(series: str, sick: str = "0+5") -> Story:
    """A counter that counts on, or stands still."""
    return Story({series: f"{sick}x60"}, {series: "7+0x60"})


def slow(metric: str, labels: str, bound: str) -> Story:
    """A histogram, all of which is above a bound, or below it."""
    low = f'privyseal_{metric}_seconds_bucket{{{labels},le="{bound}"}}'
    all_of_it = f'privyseal_{metric}_seconds_bucket{{{labels},le="+Inf"}}'
    higher = f'privyseal_{metric}_seconds_bucket{{{labels},le="1"}}'
    return Story(
        {low: "0+0x60", higher: "0+90x60", all_of_it: "0+90x60"},
        {low: "0+90x60", higher: "0+90x60", all_of_it: "0+90x60"},
    )


def requests(code: str, reason: str, labels: str = _SIGN) -> str:
    """Return the series of requests that ended so."""
    return f'privyseal_rpc_requests_total{{{_AT},{labels},code="{code}",reason="{reason}"}}'


STORIES: dict[str, Story] = {
    "PrivysealAbsent": Story({}, {f"privyseal_ready{{{_AT}}}": "0x60"}),
    "PrivysealNobodyReady": gauge(f"privyseal_ready{{{_AT}}}", "0", "1"),
    "PrivysealNotReady": gauge(f'privyseal_ready{{{_AT},worker="2"}}', "0", "1"),
    "PrivysealNotSeen": Story(
        {f"up{{{_AT}}}": "0x60", f"privyseal_build_info{{{_OTHER}}}": "1x60"},
        {f"up{{{_AT}}}": "0x60", 'privyseal_build_info{namespace="b",job="privyseal"}': "1x60"},
    ),
    "PrivysealErrors": counter(requests("INTERNAL", "INTERNAL")),
    "PrivysealBackgroundFails": Story(
        {f'privyseal_background_failures_total{{{_AT},task="policy-watch"}}': "0+1x60"},
        {f'privyseal_background_failures_total{{{_AT},task="policy-watch"}}': "0x20 2x40"},
    ),
    "PrivysealUnavailable": Story(
        {
            requests("UNAVAILABLE", "STATE_UNAVAILABLE"): "0+2x60",
            requests("OK", ""): "0+100x60",
        },
        {
            requests("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"): "0+50x60",
            requests("UNAVAILABLE", "STATE_UNAVAILABLE"): "0+0x60",
            requests("OK", ""): "0+100x60",
        },
    ),
    "PrivysealRpcSlow": slow("rpc_duration", f"{_AT},{_SIGN}", "0.05"),
    "PrivysealOverloaded": counter(f'privyseal_rpcs_shed_total{{{_AT},priority="normal"}}'),
    "PrivysealEventLoopLate": slow("event_loop_lag", _AT, "0.1"),
    "PrivysealVaultAway": gauge(f'privyseal_secret_store_state{{{_AT},state="sealed"}}', "1", "0"),
    "PrivysealVaultForbidden": gauge(
        f'privyseal_secret_store_state{{{_AT},state="forbidden"}}', "1", "0"
    ),
    "PrivysealVaultLoginFails": Story(
        {f'privyseal_vault_token_renewals_total{{{_AT},outcome="failed"}}': "0+1x60"},
        {f'privyseal_vault_token_renewals_total{{{_AT},outcome="failed"}}': "0x20 1x40"},
    ),
    # Callers that gave up, and a fail-over of a few seconds, are no outage; nor is a clock.
    "PrivysealStateAway": Story(
        {
            f'{_STATE},outcome="STATE_UNAVAILABLE"}}': "0+9x60",
            f'{_READ},outcome="ok"}}': "0+900x60",
        },
        {
            f'{_STATE},outcome="ok"}}': "0+90x60",
            f'{_STATE},outcome="cancelled"}}': "0+90x60",
            f'{_STATE},outcome="CLOCK_SKEWED"}}': "0+90x60",
            f'{_STATE},outcome="STATE_UNAVAILABLE"}}': "0x28 9x32",
        },
    ),
    "PrivysealStateForgot": counter(f"privyseal_state_epoch_changes_total{{{_AT}}}", "0+1"),
    # A restart of Valkey is shorter.
    "PrivysealBlind": gauge(f"privyseal_holds_age_seconds{{{_AT}}}", "60", "9"),
    "PrivysealClockSkewed": counter(requests("FAILED_PRECONDITION", "CLOCK_SKEWED")),
    "PrivysealNonceAhead": Story(
        {requests("FAILED_PRECONDITION", "NONCE_AHEAD"): "0+5x60"},
        {requests("FAILED_PRECONDITION", "NONCE_AHEAD"): "0x27 300x33"},
    ),
    "PrivysealVenueClockOff": gauge(
        f'privyseal_venue_clock_offset_seconds{{{_AT},venue="kiiex",environment="production"}}',
        "-3",
        "-1",
    ),
    "PrivysealSessionRenewalFails": Story(
        {f'privyseal_session_renewals_total{{{_AT},outcome="failed"}}': "0+1x60"},
        {f'privyseal_session_renewals_total{{{_AT},outcome="failed"}}': "0x20 1x40"},
    ),
    "PrivysealKeysInEscrow": gauge(f"privyseal_escrow_records{{{_AT}}}", "1", "0"),
    "PrivysealReconcileBlocked": gauge(
        f'privyseal_reconcile_findings{{{_AT},outcome="unknown"}}', "1", "0"
    ),
    "PrivysealAuditNotWritable": gauge(f"privyseal_audit_is_writable{{{_AT}}}", "0", "1"),
    "PrivysealAuditSlow": counter(f"privyseal_audit_stalls_total{{{_AT}}}", "0+1"),
    "PrivysealPolicyStale": gauge(f"privyseal_policy_is_stale{{{_AT}}}", "1", "0"),
    "PrivysealPolicyDiffers": Story(
        {
            f"privyseal_policy_rules{{{_AT}}}": "7x60",
            'privyseal_policy_rules{namespace="trading",job="privyseal",instance="b"}': "8x60",
        },
        {
            f"privyseal_policy_rules{{{_AT}}}": "7x60",
            'privyseal_policy_rules{namespace="trading",job="privyseal",instance="b"}': "7x60",
            'privyseal_policy_rules{namespace="other",job="privyseal",instance="c"}': "8x60",
        },
    ),
    "PrivysealDenials": Story(
        {f'privyseal_policy_denials_total{{{_AT},rule=""}}': "0+90x60"},
        {f'privyseal_policy_denials_total{{{_AT},rule=""}}': "0+30x60"},
    ),
    "PrivysealHeld": Story(
        {f'privyseal_holds{{{_AT},scope="all"}}': "1x120"},
        {f'privyseal_holds{{{_AT},scope="all"}}': "1x30 0x90"},
        after="90m",
    ),
    "PrivysealCertificateExpires": gauge(
        f'privyseal_certificate_life_seconds{{{_AT},certificate="server"}}', "500000", "700000"
    ),
    "PrivysealCertificateEnds": gauge(
        f'privyseal_certificate_life_seconds{{{_AT},certificate="client-ca"}}', "80000", "90000"
    ),
    "PrivysealIssuerKeysOld": gauge(
        f'privyseal_jwks_age_seconds{{{_AT},issuer="cluster"}}', "4000", "500"
    ),
    "PrivysealWorkersDie": counter(f'privyseal_worker_deaths_total{{{_AT},worker="0"}}', "0+1"),
}


def test_every_alert_has_its_story() -> None:
    """So none is there that was never seen to fire."""
    assert {*STORIES} == {*ALERTS}


@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_when_it_should_and_else_not(name: str, tmp_path: Path) -> None:
    """By Prometheus' own evaluation, through the time that it waits."""
    story = STORIES[name]

    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'

    def expected(series: dict[str, str], number: int) -> dict[str, Any]:
        sample = {"labels": "{}", "value": number}
        return {
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "promql_expr_test": [
                {"expr": firing, "eval_time": story.after, "exp_samples": [sample]}
            ],
        }

    file = tmp_path / "story.yaml"
    tests = [expected(story.sick, 1), expected(story.well, 0)]
    file.write_text(
        json.dumps({"rule_files": [str(_FILE)], "evaluation_interval": "15s", "tests": tests})
    )

    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Quiet:
    """Series by 15 s that may wake nobody, at any time of half an hour."""

    what: str
    series: dict[str, str]


# What is over by itself in less time than it takes a person to look.
QUIET = [
    Quiet(
        "one pod drains for 56 s and starts again",
        {f"privyseal_ready{{{_AT}}}": "1x40 0x3 stale 1x80"},
    ),
    Quiet(
        "Valkey fails over, and takes 8 s",
        {
            f"privyseal_holds_age_seconds{{{_AT}}}": "0x40 8 0x80",
            f'{_STATE},outcome="ok"}}': "0+15x40 607+15x80",
            f'{_STATE},outcome="STATE_UNAVAILABLE"}}': "0x40 8x81",
            f'privyseal_hold_refusals_total{{{_AT},cause="blind"}}': "0x40 90x81",
        },
    ),
    Quiet(
        "a burst of orders is too fast for a key",
        {requests("FAILED_PRECONDITION", "NONCE_AHEAD"): "0x40 50 200x80"},
    ),
    Quiet(
        "callers give up while the state is well",
        {
            f'{_STATE},outcome="ok"}}': "0+150x120",
            f'{_STATE},outcome="cancelled"}}': "0+15x120",
        },
    ),
    Quiet(
        "a login fails once and works at the next try",
        {
            f'privyseal_session_renewals_total{{{_AT},outcome="failed"}}': "0x40 1x81",
            f'privyseal_vault_token_renewals_total{{{_AT},outcome="failed"}}': "0x40 1x81",
        },
    ),
]


@pytest.mark.parametrize("quiet", QUIET, ids=lambda each: each.what)
def test_nobody_is_woken_for_what_heals_by_itself(quiet: Quiet, tmp_path: Path) -> None:
    """No alert of any severity fires, but for what only tells."""
    told = "PrivysealStateForgot|PrivysealUnavailable|PrivysealAbsent"
    firing = f'count(ALERTS{{alertname!~"{told}",alertstate="firing"}}) or vector(0)'
    file = tmp_path / "quiet.yaml"
    test = {
        "interval": "15s",
        "input_series": [
            {"series": each, "values": values} for each, values in quiet.series.items()
        ],
        "promql_expr_test": [
            {
                "expr": firing,
                "eval_time": f"{seconds}s",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
            for seconds in range(0, 1_800, 15)
        ],
    }
    file.write_text(
        json.dumps({"rule_files": [str(_FILE)], "evaluation_interval": "15s", "tests": [test]})
    )

    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_release_that_is_gone_is_missed_beside_another(engine: Engine, tmp_path: Path) -> None:
    """A custodian's server does not stand in for the desk's; each has alerts of its own."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(json.dumps(rules_of(engine, {"serviceMonitor": {"enabled": True}})))
    firing = 'count(ALERTS{alertname="PrivysealAbsent",alertstate="firing"}) or vector(0)'

    def expected(job: str, number: int) -> dict[str, Any]:
        series = f'privyseal_ready{{namespace="trading",job="{job}",instance="a"}}'
        sample = {"labels": "{}", "value": number}
        return {
            "interval": "1m",
            "input_series": [{"series": series, "values": "1x60"}],
            "promql_expr_test": [{"expr": firing, "eval_time": "30m", "exp_samples": [sample]}],
        }

    file = tmp_path / "story.yaml"
    tests = [expected("custodian-privyseal-headless", 1), expected("desk-privyseal-headless", 0)]
    file.write_text(
        json.dumps({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests})
    )

    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_in_runbooks_exist() -> None:
    """Each `privyseal …`, with each option that it is given."""
    words = get_command(app)
    seen = 0
    for path in _RUNBOOKS.glob("*.md"):
        for line in re.findall(r"`[^`]*`", path.read_text()):
            for text in re.findall(r"(?:^`|-- |\| )privyseal ([a-z][^`]*)", line):
                command: Any = words
                parts = text.split()
                while parts and hasattr(command, "commands"):
                    assert parts[0] in command.commands, (path.name, text)
                    command = command.commands[parts.pop(0)]
                options = {name for each in command.params for name in each.opts}
                assert {part for part in parts if part.startswith("--")} <= options, text
                seen += 1
    assert seen > 10
