//! The house has no circles: what a module is made of never uses that module, within each crate and between
//! crates.
//!
//! Three graphs are drawn from the source, each with the names that make its arrows. Files: who names what is
//! defined where, however it was imported or passed on by `pub use`. Modules: the same between the children
//! of one module, each with all that is below it. Crates. Tests are left out, since they may look at whatever
//! they test.

mod graph;
mod names;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use graph::{Circle, Graph};
use tree::Tree;

/// Modules whose circles, with all that is below them, have yet to be untied. One without circles must not
/// stand here.
const TIED: &[&str] = &["logs", "proxy", "worker::asgi"];

#[test]
fn no_crate_has_a_circle_of_modules() {
    let mut problems = Vec::new();
    let mut tied = BTreeSet::new();
    for (name, tree) in crates() {
        for circle in [files(&tree), modules(&tree)].iter().flat_map(Graph::circles) {
            match TIED.iter().find(|tied| is_within(&circle, &name, tied)) {
                Some(listed) => drop(tied.insert(listed)),
                None => problems.push(format!("in `{name}`: {}", circle.told)),
            }
        }
    }
    let untied = TIED.iter().filter(|listed| !tied.contains(listed));
    problems.extend(untied.map(|listed| format!("`{listed}` has no circle any more: take it off the list")));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Is all of a circle of the crate `name` in this module or below it?
fn is_within(circle: &Circle, name: &str, module: &str) -> bool {
    let mut paths = circle
        .nodes
        .iter()
        .map(|node| format!("{name}::{}", node.replace('/', "::")));
    paths.all(|path| {
        path.strip_prefix(module)
            .is_some_and(|rest| rest.starts_with("::"))
    })
}

#[test]
fn no_crates_make_a_circle() {
    let crates = crates();
    let mut graph = Graph::default();
    for (name, tree) in &crates {
        for (from, path) in tree.outward() {
            if crates.contains_key(&path[0]) && path[0] != *name {
                graph.arrow(
                    name,
                    &path[0],
                    &format!("{} in {}", path.join("::"), tree.file(from)),
                );
            }
        }
    }
    let circles = told(&graph);
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_and_told_with_the_names_that_tie_it() {
    let tree = made_up(&[
        ("lib.rs", "mod oven; mod bread; pub use bread::Bread;"),
        (
            "oven.rs",
            "use super::{bread::{self, Dough}, Bread}; struct Oven; fn bake(_: Dough) -> Bread { bread::cool() }",
        ),
        (
            "bread.rs",
            "pub struct Bread; pub struct Dough; pub fn cool() -> Bread { crate::oven::Oven.open() }",
        ),
    ]);
    let told = told(&files(&tree));
    assert_eq!(
        told,
        ["circle: bread.rs -> oven.rs -> bread.rs\n  \
         bread.rs -> oven.rs: Oven\n  \
         oven.rs -> bread.rs: Bread, Dough, cool"]
    );
}

#[test]
fn names_are_followed_to_where_they_are_defined() {
    let tree = made_up(&[
        (
            "lib.rs",
            "mod a; mod b; mod c; use a::A as Alias; mod list { pub(crate) use crate::c::*; }",
        ),
        (
            "a.rs",
            "pub struct A; fn f() { println!(\"{}\", crate::list::C::NEW) }",
        ),
        ("b.rs", "use crate::Alias; fn f(_: Alias) {}"),
        ("c.rs", "pub struct C; fn f() { use super::b; b::f(x) }"),
    ]);
    let told = told(&files(&tree));
    assert_eq!(
        told,
        ["circle: a.rs -> c.rs -> b.rs -> a.rs\n  \
         a.rs -> c.rs: C\n  \
         b.rs -> a.rs: A\n  \
         c.rs -> b.rs: f"]
    );
}

#[test]
fn folders_make_circles_that_their_files_do_not_make() {
    let tree = made_up(&[
        ("lib.rs", "mod front; mod back;"),
        ("front/mod.rs", "mod door; pub mod bell;"),
        ("front/door.rs", "use crate::back::yard::Yard;"),
        ("front/bell.rs", "pub struct Bell;"),
        ("back/mod.rs", "pub mod yard; mod gate;"),
        ("back/yard.rs", "pub struct Yard;"),
        ("back/gate.rs", "use crate::front::bell::Bell;"),
    ]);
    assert_eq!(told(&files(&tree)), [""; 0]);
    assert_eq!(
        told(&modules(&tree)),
        ["circle: back -> front -> back\n  \
         back -> front: Bell in back/gate.rs\n  \
         front -> back: Yard in front/door.rs"]
    );
}

#[test]
fn tests_may_use_what_they_test() {
    let tree = made_up(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
        ),
        ("b.rs", "pub struct B(crate::a::A); #[cfg(test)] mod tests;"),
    ]);
    assert_eq!(told(&files(&tree)), [""; 0]);
}

/// Arrows between the files of a crate.
fn files(tree: &Tree) -> Graph {
    let mut graph = Graph::default();
    for (from, to, name) in tree.arrows() {
        graph.arrow(tree.file(from), tree.file(to), &name);
    }
    graph
}

/// Arrows between the children of each module. A module and its own children are one noun in parts: what ties
/// those is seen among the files.
fn modules(tree: &Tree) -> Graph {
    let mut graph = Graph::default();
    for (from, to, name) in tree.arrows() {
        let (from_path, to_path) = (tree.path(from), tree.path(to));
        let shared = from_path
            .iter()
            .zip(to_path)
            .take_while(|(from, to)| from == to)
            .count();
        if from_path.len() > shared && to_path.len() > shared {
            let (from_path, to_path) = (&from_path[..=shared], &to_path[..=shared]);
            graph.arrow(
                &from_path.join("::"),
                &to_path.join("::"),
                &format!("{name} in {}", tree.file(from)),
            );
        }
    }
    graph
}

fn told(graph: &Graph) -> Vec<String> {
    graph.circles().into_iter().map(|circle| circle.told).collect()
}

fn crates() -> BTreeMap<String, Tree> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = fs::read_dir(&house).expect("the folder of the crates");
    let mut crates = BTreeMap::new();
    for folder in folders {
        let folder = folder.expect("an entry of the folder of the crates").path();
        let root = ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root));
        if let Some(root) = root.iter().find(|root| root.is_file()) {
            let name = folder
                .file_name()
                .expect("a folder has a name")
                .to_string_lossy()
                .into_owned();
            crates.insert(name, Tree::of(root, &|path| fs::read_to_string(path).ok()));
        }
    }
    crates
}

fn made_up(files: &[(&str, &str)]) -> Tree {
    let files: BTreeMap<_, _> = files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), *text))
        .collect();
    Tree::of(Path::new("lib.rs"), &|path| {
        files.get(path).map(|text| (*text).to_owned())
    })
}
