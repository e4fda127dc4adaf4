//! Rules of arrows: between wings, between rooms, and no circle between files.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Arrow, is_within};
use crate::table::{MAY_NAME, ROOMS};

/// Returns one sentence for every arrow and every circle that is not allowed.
pub(crate) fn check(arrows: &[Arrow]) -> Vec<String> {
    let outside_tests: Vec<&Arrow> = arrows.iter().filter(|arrow| !arrow.in_test).collect();
    let wings = arrows.iter().filter_map(between_wings);
    let rooms = outside_tests.iter().filter_map(|arrow| between_rooms(arrow));
    let files = outside_tests.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str(), *arrow));
    // The rooms of a wing without levels need an order, too: any order will do.
    let unordered = outside_tests.iter().filter_map(|arrow| {
        let (from, to) = (room(&arrow.from), room(&arrow.to));
        (from != to && wing(from) == wing(to) && levels(from).is_none())
            .then_some((from, to, *arrow))
    });
    let mut circles_found = circles(files);
    if circles_found.is_empty() {
        circles_found = circles(unordered);
    }
    wings.chain(rooms).chain(circles_found).collect()
}

fn refusal(arrow: &Arrow, why: &str) -> String {
    format!("{}: `{}` {why}", arrow.place, arrow.path)
}

fn between_wings(arrow: &Arrow) -> Option<String> {
    if arrow.to.is_empty() {
        return Some(refusal(
            arrow,
            "names the crate root as a whole; name the module that is meant",
        ));
    }
    let Some((row, allowed)) = MAY_NAME.iter().find(|(row, _)| is_within(&arrow.from, row)) else {
        return Some(refusal(arrow, "is named by a module that has no row in MAY_NAME"));
    };
    let fine = is_within(&arrow.to, row) || allowed.split(' ').any(|one| is_within(&arrow.to, one));
    let why = format!("is in `{}`, which `{row}` may not name", arrow.to);
    (!fine).then(|| refusal(arrow, &why))
}

fn between_rooms(arrow: &Arrow) -> Option<String> {
    let (from, to) = (room(&arrow.from), room(&arrow.to));
    let levels = levels(from)?;
    if from == to || wing(from) != wing(to) || from == wing(from) {
        return None;
    }
    let level = |room: &str| {
        let name = room.rsplit("::").next();
        levels.iter().position(|line| line.split(' ').any(|one| Some(one) == name))
    };
    let why = match (level(from), level(to)) {
        _ if to == wing(to) => format!("names the wing `{to}` as a whole; name a module in it"),
        (Some(from), Some(to)) if from < to => return None,
        (Some(_), Some(_)) => format!(
            "is in `{to}`, which is not below `{from}`; move what both need down, or pass it in"
        ),
        _ => format!("joins `{from}` and `{to}`, and one of them has no line in ROOMS"),
    };
    Some(refusal(arrow, &why))
}

fn wing(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Returns the first two parts of a module: wing and room.
fn room(module: &str) -> &str {
    let end = module.match_indices("::").nth(1).map_or(module.len(), |(end, _)| end);
    &module[..end]
}

fn levels(module: &str) -> Option<&'static [&'static str]> {
    ROOMS.iter().find(|(name, _)| *name == wing(module)).map(|(_, levels)| *levels)
}

/// Returns one sentence for each circle that a walk along all arrows closes.
fn circles<'a>(arrows: impl Iterator<Item = (&'a str, &'a str, &'a Arrow)>) -> Vec<String> {
    let mut walk = Walk::default();
    for (from, to, arrow) in arrows {
        walk.graph.entry(from).or_default().entry(to).or_insert(arrow);
    }
    for start in walk.graph.keys().copied().collect::<Vec<_>>() {
        walk.visit(start);
    }
    walk.found
}

#[derive(Default)]
struct Walk<'a> {
    graph: BTreeMap<&'a str, BTreeMap<&'a str, &'a Arrow>>,
    /// The modules from the start of the walk to where it is.
    path: Vec<&'a str>,
    done: BTreeSet<&'a str>,
    found: Vec<String>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, module: &'a str) {
        if let Some(start) = self.path.iter().position(|seen| *seen == module) {
            let circle = [&self.path[start..], &[module]].concat();
            let steps: Vec<String> = circle.windows(2).map(|step| self.step(step)).collect();
            return self.found.push(format!("a circle: {}", steps.join(", ")));
        }
        if self.done.insert(module) {
            self.path.push(module);
            let targets = self.graph.get(module).into_iter().flat_map(BTreeMap::keys);
            for target in targets.copied().collect::<Vec<_>>() {
                self.visit(target);
            }
            self.path.pop();
        }
    }

    fn step(&self, step: &[&str]) -> String {
        let arrow = self.graph[step[0]][step[1]];
        format!("{} -> {} (`{}`, {})", step[0], step[1], arrow.path, arrow.place)
    }
}
