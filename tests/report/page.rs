//! The report page of a run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::xml::{Element, parse};
use crate::{Copy, REFERENCES, code, mintbench, stderr};

/// Returns the page and the `run.json` of every reference result, made once.
fn pages() -> &'static [(&'static str, String, Value)] {
    static PAGES: LazyLock<Vec<(&str, String, Value)>> = LazyLock::new(|| {
        let made = REFERENCES.into_iter().map(|name| {
            let copy = Copy::of(name);
            (name, copy.report("run"), crate::json(&copy.path("run").join("run.json")))
        });
        made.collect()
    });
    &PAGES
}

/// Returns the cells of a table: its head, then its rows.
fn cells(table: &Element) -> (Vec<String>, Vec<Vec<String>>) {
    let row =
        |row: &Element| -> Vec<String> { row.children.iter().map(Element::whole_text).collect() };
    let head = row(table.all("thead")[0].all("tr")[0]);
    let rows: Vec<Vec<String>> = table.all("tbody")[0].all("tr").into_iter().map(row).collect();
    assert!(rows.iter().all(|row| row.len() == head.len()), "{head:?}: {rows:?}");
    (head, rows)
}

/// An axis as declared in a drawing.
struct Axis {
    log: bool,
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    fn of(svg: &Element, name: &str) -> Self {
        let text = svg.attribute(name);
        let (scale, numbers) = text.split_once(' ').unwrap();
        let numbers: Vec<f64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let [from, to, begin, end] = numbers.try_into().unwrap();
        assert!(from < to, "{text}");
        Self { log: scale == "log", from, to, begin, end }
    }

    fn value(&self, place: f64) -> f64 {
        let along = (place - self.begin) / (self.end - self.begin);
        assert!((-1e-9..=1.000_000_1).contains(&along), "{place} is outside");
        if self.log {
            self.from * (self.to / self.from).powf(along)
        } else {
            self.from + (self.to - self.from) * along
        }
    }

    /// Returns true if a position stands for a value, within the hundredth of a unit to which
    /// positions are written. Values below the axis are drawn at its foot.
    fn agrees(&self, place: f64, value: f64) -> bool {
        let value = value.clamp(self.from, self.to);
        let near = [place - 0.006, place + 0.006].map(|place| {
            let (low, high) = (self.begin.min(self.end), self.begin.max(self.end));
            self.value(place.clamp(low, high))
        });
        let (low, high) = (near[0].min(near[1]), near[0].max(near[1]));
        low * (1.0 - 1e-9) - 1e-9 <= value && value <= high * (1.0 + 1e-9) + 1e-9
    }
}

/// Returns the positions of a line.
fn places(path: &str) -> Vec<(f64, f64)> {
    let points = path.split(['M', 'L']).filter(|point| !point.is_empty());
    let number = |text: &str| text.parse::<f64>().unwrap();
    points
        .map(|point| point.split_once(' ').unwrap())
        .map(|(x, y)| (number(x), number(y)))
        .collect()
}

/// Asserts that the lines of a figure are drawn at the values of its table. Returns the number of
/// points.
pub(crate) fn drawing_agrees_with_table(figure: &Element) -> usize {
    let svg = figure.all("svg")[0];
    let (x_axis, y_axis) = (Axis::of(svg, "data-x"), Axis::of(svg, "data-y"));
    let (head, rows) = cells(figure.all("table")[0]);
    let mut points = 0;
    for line in
        svg.all("path").into_iter().filter(|path| path.attributes.contains_key("data-series"))
    {
        let name = line.attribute("data-series");
        let Some(column) =
            head.iter().position(|head| head == name || head == &format!("{name} (us)"))
        else {
            assert_eq!(name, "as fast as A", "{head:?}");
            continue;
        };
        let values: Vec<f64> = rows
            .iter()
            .filter(|row| !row[column].is_empty())
            .map(|row| row[column].parse().unwrap())
            .collect();
        let places = places(line.attribute("d"));
        assert_eq!(places.len(), values.len(), "{name}");
        for ((x, y), value) in places.iter().zip(&values) {
            assert!(y_axis.agrees(*y, *value), "{name}: {value} is drawn at {}", y_axis.value(*y));
            let _ = x_axis.value(*x);
        }
        points += values.len();
    }
    for tick in svg.all("text").into_iter().filter(|text| text.attribute("class") == "tick") {
        let value: f64 = tick.attribute("data-value").parse().unwrap();
        let place = |name: &str| tick.attribute(name).parse::<f64>().unwrap();
        let at_end = tick.attribute("text-anchor") == "end";
        // Labels of the y axis stand five units below their line, which centres them on it.
        let agrees = if at_end {
            y_axis.agrees(place("y") - 5.0, value)
        } else {
            x_axis.agrees(place("x"), value)
        };
        assert!(agrees, "the tick {}", tick.whole_text());
    }
    points
}

fn text(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |number| number.to_string())
}

#[test]
fn the_tables_hold_what_run_json_says() {
    for (name, html, run) in pages() {
        let page = parse(html);
        let (head, rows) = cells(page.all("table")[0]);
        let rows: BTreeMap<(String, String), &Vec<String>> =
            rows.iter().map(|row| ((row[0].clone(), row[1].clone()), row)).collect();
        let classes = run["classes"].as_object().unwrap();
        assert_eq!(rows.len(), 2 * classes.len(), "{name}");
        for (class, of) in classes {
            for latency in ["response", "service"] {
                let row = rows[&(class.clone(), latency.to_owned())];
                let cell =
                    |column: &str| &row[head.iter().position(|head| head == column).unwrap()];
                assert_eq!(*cell("count"), of["count"].to_string());
                let p = &of[format!("{latency}_us")];
                for (column, field) in [
                    ("p50", "p50"),
                    ("p90", "p90"),
                    ("p99", "p99"),
                    ("p99.9", "p999"),
                    ("max", "max"),
                ] {
                    assert_eq!(*cell(column), text(&p[field]), "{name} {class} {latency} {column}");
                }
            }
            let low = &rows[&(class.clone(), "response".to_owned())][9];
            assert_eq!(*low, text(&of["p99_interval_us"][0]), "{name} {class}");
        }
    }
}

#[test]
fn the_curve_has_the_percentiles_of_run_json_and_the_interval_of_the_log() {
    let mut intervals = 0;
    for (name, html, run) in pages() {
        let page = parse(html);
        let figures = page.all("figure");
        let curve = figures.iter().find(|figure| figure.attribute("id") == "percentiles").unwrap();
        let (head, rows) = cells(curve.all("table")[0]);
        let row = |percentile: &str| rows.iter().find(|row| row[0] == percentile);
        for (class, of) in run["classes"].as_object().unwrap() {
            let column = head.iter().position(|h| *h == format!("{class} response (us)")).unwrap();
            for (percentile, field) in
                [("50", "p50"), ("90", "p90"), ("99", "p99"), ("99.9", "p999")]
            {
                let cell = row(percentile).map_or("", |row| row[column].as_str());
                // With few samples the curve has no points beyond the last.
                let last = cell.is_empty();
                assert!(
                    last || cell == text(&of["response_us"][field]),
                    "{name} {class} {percentile}"
                );
            }
            let most = row(&format!("max of {}", of["count"])).unwrap();
            assert_eq!(most[column], text(&of["response_us"]["max"]), "{name} {class}");
            let Some(row) = row("99").filter(|row| !row[column].is_empty()) else { continue };
            let folder = std::path::Path::new("results/reference").join(name);
            let expected = crate::p99_interval_us(&folder, class);
            let expected =
                expected.map_or([String::new(), String::new()], |us| us.map(|us| us.to_string()));
            assert_eq!(row[column + 1..column + 3], expected, "{name} {class}");
            intervals += usize::from(!expected[0].is_empty());
        }
    }
    assert!(intervals > 0, "no reference is long enough for an interval");
}

#[test]
fn lines_are_drawn_where_the_tables_say() {
    for (name, html, run) in pages() {
        let page = parse(html);
        let figures = page.all("figure");
        // Percentiles, throughput, heat map, and one figure for each class.
        assert_eq!(figures.len(), 3 + run["classes"].as_object().unwrap().len(), "{name}");
        for figure in figures {
            let points = drawing_agrees_with_table(figure);
            let is_heat = figure.attribute("id") == "heat";
            assert_eq!(points == 0, is_heat, "{name} {}", figure.attribute("id"));
            let svg = figure.all("svg")[0];
            assert!(!svg.all("title")[0].text.is_empty() && !svg.all("desc")[0].text.is_empty());
            assert!(!figure.all("caption")[0].text.is_empty());
        }
    }
}

#[test]
fn objectives_are_lines_with_their_names_where_the_axis_has_their_limits() {
    let copy = Copy::of("churn");
    let class =
        |name: &str| json!({name: {"count": 1, "errors": 0, "response_us": {}, "service_us": {}}});
    copy.edit("run", |run| {
        run["slo"] = json!([
            {"objective": "p99<2ms", "phase": null, "measured_us": 1.0, "met": true},
            {"objective": "hit.p50 < 300us", "phase": null, "measured_us": 1.0, "met": true},
            {"objective": "miss.max<40s", "phase": null, "measured_us": 1.0, "met": true},
            {"objective": "p90<5ms", "phase": "late", "measured_us": 1.0, "met": true},
            {"objective": "of another version", "phase": null, "measured_us": 1.0, "met": true}
        ]);
        run["phases"] = json!([
            {"name": "early", "start_s": 0, "duration_s": 5, "rate_target": 5, "arrivals": "poisson", "classes": class("hit")},
            {"name": "late", "start_s": 5, "duration_s": 10, "rate_target": 5, "arrivals": "poisson", "classes": class("hit")}
        ]);
    });
    let page = parse(&copy.report("run"));
    let goals = |figure: &str| {
        let figure =
            page.all("figure").into_iter().find(|one| one.attribute("id") == figure).unwrap();
        drawing_agrees_with_table(figure);
        let svg = figure.all("svg")[0];
        let (x, y) = (Axis::of(svg, "data-x"), Axis::of(svg, "data-y"));
        let labels: Vec<String> = svg.all("text").iter().map(|text| text.whole_text()).collect();
        let lines =
            svg.all("path").into_iter().filter(|path| path.attributes.contains_key("data-goal"));
        let line = |path: &Element| {
            let name = path.attribute("data-goal").to_owned();
            assert!(labels.contains(&name), "{name} has no label");
            let (from, rest) = path.attribute("d")[1..].split_once(' ').unwrap();
            let (at, to) = rest.split_once('H').unwrap();
            let ends = [from, to].map(|end| x.value(end.parse().unwrap()).round());
            (name, y.value(at.parse().unwrap()), ends)
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let limits = |figure: &str| -> BTreeMap<String, f64> {
        goals(figure).into_iter().map(|(name, us, _)| (name, us)).collect()
    };
    let near = |found: &BTreeMap<String, f64>, expected: &[(&str, f64)]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (name, us) in expected {
            assert!((found[*name] / us - 1.0).abs() < 0.01, "{name}: {found:?}");
        }
    };
    near(
        &limits("percentiles"),
        &[("p99<2ms", 2e3), ("hit.p50 < 300us", 300.0), ("miss.max<40s", 4e7)],
    );
    near(
        &limits("course-hit"),
        &[("p99<2ms", 2e3), ("hit.p50 < 300us", 300.0), ("late: p90<5ms", 5e3)],
    );
    let late = goals("course-hit").into_iter().find(|(name, ..)| name.starts_with("late")).unwrap();
    assert_eq!(
        late.2.map(|end| end.to_string()),
        ["5", "15"],
        "from the beginning of the phase to its end"
    );
}

#[test]
fn a_narrow_page_names_every_cell_and_no_number_has_the_digits_of_a_binary_fraction() {
    let third = 100.0 / 3.0;
    let copy = Copy::of("churn");
    copy.edit("run", |run| {
        run["validity"]["gaps"] = json!({
            "count": 9, "distance": third / 1e3, "distance_intended": third / 1e3, "limit": third,
        });
        run["load"]["rate_achieved"] = third.into();
        run["classes"]["hit"]["service_us"]["p90"] = third.into();
        run["phases"] = json!([{
            "name": "a", "start_s": third, "duration_s": third, "rate_target": third, "arrivals": "x",
            "classes": {"hit": {"count": 1, "errors": 0, "response_us": {"p50": third}, "service_us": {}}}
        }]);
    });
    let page = parse(&copy.report("run"));
    assert!(!page.whole_text().contains("33.333333"), "{}", page.whole_text());
    assert!(page.whole_text().contains("33.333") && page.whole_text().contains("0.0333"));
    let facts = page
        .all("div")
        .into_iter()
        .filter(|div| div.attributes.get("class").is_some_and(|class| class == "wide facts"));
    let mut seen = 0;
    for table in facts {
        let (head, rows) = cells(table);
        for cell in table.all("td") {
            assert!(head.iter().any(|name| name == cell.attribute("data-name")));
        }
        assert_eq!(table.all("td").len(), rows.len() * (head.len() - 1));
        seen += rows.len();
    }
    assert!(seen > 5);
    let panels = page.all("section");
    let phases = panels.iter().find(|panel| panel.whole_text().contains("Response times by phase"));
    let phases = phases.unwrap();
    assert_eq!(phases.attribute("class"), "panel broad", "twelve columns take the whole width");
}

#[test]
fn the_heat_map_and_the_throughput_count_every_request_once() {
    for (name, html, run) in pages() {
        let page = parse(html);
        let classes = run["classes"].as_object().unwrap();
        let count: u64 = classes.values().map(|of| of["count"].as_u64().unwrap()).sum();
        let figures = page.all("figure");
        let heat = figures.iter().find(|figure| figure.attribute("id") == "heat").unwrap();
        let drawn: u64 = heat
            .all("rect")
            .iter()
            .map(|cell| cell.attribute("data-count").parse::<u64>().unwrap())
            .sum();
        let listed = cells(heat.all("table")[0]).1;
        let listed = listed.iter().flat_map(|row| &row[1..]).filter(|cell| !cell.is_empty());
        let listed: u64 = listed.map(|cell| cell.parse::<u64>().unwrap()).sum();
        assert_eq!((drawn, listed), (count, count), "{name}");
    }
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    for (name, html, _) in pages() {
        let page = parse(html);
        for forbidden in [
            "script", "link", "img", "iframe", "object", "embed", "a", "base", "form", "use",
            "image",
        ] {
            assert!(page.all(forbidden).is_empty(), "{name} has <{forbidden}>");
        }
        let style = &page.all("style")[0].text;
        assert!(!style.contains("url(") && !style.contains("@import"), "{name}");
        let mut elements = vec![&page];
        while let Some(element) = elements.pop() {
            for (attribute, value) in &element.attributes {
                assert!(
                    !["src", "href", "action", "style"].contains(&attribute.as_str()),
                    "{attribute}"
                );
                assert!(!attribute.starts_with("on"), "{attribute}");
                assert!(
                    !value.contains("http://") && !value.contains("https://"),
                    "{attribute}={value}"
                );
            }
            elements.extend(&element.children);
        }
        let ids: Vec<&str> = all_ids(&page);
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(ids.len(), distinct.len(), "{name}: ids are unique");
    }
}

fn all_ids(element: &Element) -> Vec<&str> {
    let own = element.attributes.get("id").map(String::as_str);
    own.into_iter().chain(element.children.iter().flat_map(all_ids)).collect()
}

#[test]
fn no_text_of_a_result_becomes_markup() {
    const EVIL: &str = "</title></svg><script>alert('1')</script>\"'&<img src=x onerror=y>";
    let copy = Copy::of("churn");
    copy.edit("run", |run| {
        for field in ["target", "scenario", "run_id", "started_at"] {
            run[field] = EVIL.into();
        }
        run["notes"] = json!([EVIL]);
        run["validity"]["reasons"] = json!([EVIL]);
        run["checks"] = json!({"passed": false, "failures": [EVIL]});
        run["host"]["cpu_model"] = EVIL.into();
        run["host"][EVIL] = EVIL.into();
        run["statuses"][EVIL] = 1.into();
        run["slo"] = json!([{"objective": EVIL, "measured_us": 1.5, "met": false}]);
        run["phases"] = json!([{
            "name": EVIL, "start_s": 0, "duration_s": 20, "rate_target": 5, "arrivals": EVIL,
            "classes": {"hit": {"count": 1, "errors": 0, "response_us": {}, "service_us": {}}}
        }]);
        run[EVIL] = json!({EVIL: {EVIL: [EVIL, {EVIL: EVIL}]}});
    });
    let page = parse(&copy.report("run"));
    assert!(page.all("script").is_empty() && page.all("img").is_empty());
    assert_eq!(page.all("h1")[0].text, format!("{EVIL}: {EVIL}"));
    assert_eq!(page.all("title")[0].text, format!("{EVIL}: {EVIL}"));
    let panels = page.all("section");
    let phases =
        panels.iter().find(|panel| panel.whole_text().contains("Response times by phase")).unwrap();
    assert_eq!(cells(phases.all("table")[0]).1[0][0], EVIL);
    let alerts = panels.iter().filter(|panel| panel.attribute("class") == "alert");
    assert_eq!(alerts.filter(|alert| alert.whole_text().contains(EVIL)).count(), 2);
}

#[test]
fn an_invalid_run_says_why_before_anything_else() {
    let copy = Copy::of("churn");
    let page = parse(&copy.report("run"));
    let run = crate::json(&copy.path("run").join("run.json"));
    let alerts: Vec<&Element> = page
        .all("section")
        .into_iter()
        .filter(|section| section.attribute("class") == "alert")
        .collect();
    assert_eq!(alerts.len(), 1);
    let reasons: Vec<String> = alerts[0].all("li").iter().map(|item| item.text.clone()).collect();
    assert_eq!(json!(reasons), run["validity"]["reasons"]);
    let badges = page.all("ul")[0].all("li");
    let badges: Vec<(&str, &str)> =
        badges.iter().map(|badge| (badge.attribute("class"), badge.text.trim())).collect();
    assert_eq!(badges, [("bad", "INVALID"), ("good", "checks passed")]);
}

#[test]
fn what_there_is_of_a_run_that_did_not_end_is_shown_and_said_to_be_that() {
    let copy = Copy::of("steady");
    fs::remove_file(copy.path("run").join("run.json")).unwrap();
    let log = copy.path("run").join("response.hlog");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() * 2 / 3]).unwrap();
    let page = parse(&copy.report("run"));
    let text = page.whole_text();
    assert!(text.contains("This run did not end") && text.contains("A log broke off"), "{text}");
    assert!(page.all("figure").len() >= 4);
    page.all("figure").into_iter().for_each(|figure| {
        drawing_agrees_with_table(figure);
    });
}

#[test]
fn a_folder_that_cannot_be_read_is_refused_with_its_file_named() {
    let copy = Copy::of("mint");
    fs::write(copy.path("run").join("lag.hlog"), "nonsense\n").unwrap();
    let output = mintbench(&["report", &copy.text("run")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("lag.hlog` is damaged in line 1"), "{}", stderr(&output));
    let output = mintbench(&["report", "src"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("no result folder"), "{}", stderr(&output));
}
