//! Who uses whom, by which names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Arrows, each with the names that make it.
#[derive(Default)]
pub(crate) struct Graph {
    arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Nodes each of which uses the next, and the last one the first.
pub(crate) struct Circle {
    pub(crate) nodes: Vec<String>,
    /// The circle and the names that tie it, in words.
    pub(crate) told: String,
}

impl Graph {
    pub(crate) fn arrow(&mut self, from: &str, to: &str, name: &str) {
        if from != to {
            let arrows = self.arrows.entry(from.to_owned()).or_default();
            arrows.entry(to.to_owned()).or_default().insert(name.to_owned());
        }
    }

    /// Circles, the shortest first. One that has an arrow of an earlier one is left out: it may go with that
    /// one.
    pub(crate) fn circles(&self) -> Vec<Circle> {
        let mut circles: Vec<_> = self
            .arrows
            .keys()
            .filter_map(|start| self.circle(start))
            .collect();
        circles.sort_by_key(Vec::len);
        let mut seen = BTreeSet::new();
        circles.retain(|circle| {
            let arrows: Vec<_> = ends(circle).collect();
            let is_new = arrows.iter().all(|arrow| !seen.contains(arrow));
            seen.extend(arrows.into_iter().filter(|_| is_new));
            is_new
        });
        let circles = circles.iter().map(|circle| Circle {
            nodes: circle.iter().map(|node| (*node).to_owned()).collect(),
            told: self.told(circle),
        });
        circles.collect()
    }

    /// The nodes of a shortest circle from `start` back to it.
    fn circle<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in self.arrows.get(node).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    let mut circle = vec![node];
                    while let Some(node) = circle.last().and_then(|node| before.get(node)) {
                        circle.push(node);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !before.contains_key(next.as_str()) {
                    before.insert(next, node);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn told(&self, circle: &[&str]) -> String {
        let mut lines: Vec<_> = ends(circle)
            .map(|(from, to)| {
                let names: Vec<_> = self.arrows[from][to].iter().map(String::as_str).collect();
                format!("  {from} -> {to}: {}", names.join(", "))
            })
            .collect();
        lines.sort();
        format!(
            "circle: {} -> {}\n{}",
            circle.join(" -> "),
            circle[0],
            lines.join("\n")
        )
    }
}

/// The two ends of each arrow of a circle.
fn ends<'a>(circle: &[&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let next = circle.iter().copied().cycle().skip(1);
    circle.iter().copied().zip(next)
}
