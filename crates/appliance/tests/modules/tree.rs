//! The modules of a crate, what each defines and imports, and which paths its code names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, UseTree};

use super::names;

/// Segments of a path: `crate::front::Session` has three.
pub(crate) type Segments = Vec<String>;

/// The modules of one crate; the first is its root.
pub(crate) struct Tree {
    modules: Vec<Module>,
}

struct Module {
    /// Names of the modules on the way from the root.
    path: Segments,
    /// Its file, from the folder of the root.
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    /// What a name stands for that was imported; names of functions' own imports as well.
    imports: BTreeMap<String, Segments>,
    globs: Vec<Segments>,
    /// Every path that the code names, but for the ones that are only passed on by `pub use`.
    named: BTreeSet<Segments>,
}

/// Where a path leads.
enum Found {
    Module(usize),
    Item(usize, String),
}

impl Tree {
    /// The crate whose root is this file. `read` gives the text of a file when there is one.
    pub(crate) fn of(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut tree = Self { modules: Vec::new() };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let text = read(root).expect("the root of a crate can be read");
        let reader = Reader {
            root: folder.clone(),
            read,
        };
        tree.add_file(&reader, None, Segments::new(), root, &folder, &text);
        tree
    }

    pub(crate) fn file(&self, module: usize) -> &str {
        &self.modules[module].file
    }

    pub(crate) fn path(&self, module: usize) -> &[String] {
        &self.modules[module].path
    }

    /// From which module to which, and by which name.
    pub(crate) fn arrows(&self) -> Vec<(usize, usize, String)> {
        let mut arrows = Vec::new();
        for (from, module) in self.modules.iter().enumerate() {
            let paths = module.named.iter().filter_map(|path| self.lead(from, path, 0));
            arrows.extend(paths.filter_map(|found| match found {
                Found::Item(to, name) => Some((from, to, name)),
                // A module that is only named on the way: what is taken from it is named elsewhere.
                Found::Module(_) => None,
            }));
            let globs = module.globs.iter().filter_map(|path| self.lead(from, path, 0));
            arrows.extend(globs.map(|found| match found {
                Found::Module(to) => (from, to, "*".to_owned()),
                Found::Item(to, name) => (from, to, format!("{name}::*")),
            }));
        }
        arrows
    }

    /// Paths that lead out of the crate, each with the module that names it.
    pub(crate) fn outward(&self) -> impl Iterator<Item = (usize, &Segments)> {
        let modules = self.modules.iter().enumerate();
        modules.flat_map(move |(at, module)| {
            let paths = module
                .named
                .iter()
                .chain(&module.globs)
                .chain(module.imports.values());
            let outward = paths.filter(move |path| self.lead(at, path, 0).is_none());
            outward.map(move |path| (at, path))
        })
    }

    /// Where `path` leads when code of `module` names it; `None` out of the crate.
    fn lead(&self, module: usize, path: &[String], depth: usize) -> Option<Found> {
        // A chain of imports longer than this goes round: it names itself.
        if depth > 32 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, depth),
            "self" => self.descend(module, rest, depth),
            "super" => self.descend(self.modules[module].parent?, rest, depth),
            name => self
                .known(module, name, rest.is_empty())
                .then(|| self.descend(module, path, depth))?,
        }
    }

    fn known(&self, module: usize, name: &str, last: bool) -> bool {
        let module = &self.modules[module];
        module.children.contains_key(name)
            || module.imports.contains_key(name)
            || module.items.contains(name) && last
    }

    fn descend(&self, at: usize, path: &[String], depth: usize) -> Option<Found> {
        let Some((name, rest)) = path.split_first() else {
            return Some(Found::Module(at));
        };
        let module = &self.modules[at];
        if name == "self" {
            return self.descend(at, rest, depth);
        }
        if name == "super" {
            return self.descend(module.parent?, rest, depth);
        }
        if rest.is_empty() && module.items.contains(name) {
            return Some(Found::Item(at, name.clone()));
        }
        if let Some(child) = module.children.get(name) {
            return self.descend(*child, rest, depth);
        }
        if module.items.contains(name) {
            return Some(Found::Item(at, name.clone()));
        }
        if let Some(import) = module.imports.get(name) {
            let path: Segments = import.iter().chain(rest).cloned().collect();
            return self.lead(at, &path, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let path: Segments = glob.iter().chain(path).cloned().collect();
            self.lead(at, &path, depth + 1)
        })
    }

    fn add_file(
        &mut self,
        reader: &Reader<'_>,
        parent: Option<usize>,
        path: Segments,
        file: &Path,
        folder: &Path,
        text: &str,
    ) -> usize {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let file = file.strip_prefix(&reader.root).unwrap_or(file);
        let file = file.display().to_string();
        self.add(reader, parent, path, &file, folder, &parsed.items)
    }

    /// Adds a module, in a file of its own or not, whose children's files are in `folder`.
    fn add(
        &mut self,
        reader: &Reader<'_>,
        parent: Option<usize>,
        path: Segments,
        file: &str,
        folder: &Path,
        items: &[Item],
    ) -> usize {
        let at = self.modules.len();
        self.modules.push(Module {
            path: path.clone(),
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            named: BTreeSet::new(),
        });
        for item in items.iter().filter(|item| !is_test(names::attributes(item))) {
            let Item::Mod(inner) = item else {
                self.modules[at].take(item);
                continue;
            };
            let name = names::plain(&inner.ident);
            let path: Segments = path.iter().cloned().chain([name.clone()]).collect();
            let below = folder.join(&name);
            let child = match &inner.content {
                Some((_, items)) => self.add(reader, Some(at), path, file, &below, items),
                None => {
                    let files = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                    let (file, text) = reader.first(&files);
                    self.add_file(reader, Some(at), path, file, &below, &text)
                }
            };
            self.modules[at].children.insert(name, child);
        }
        at
    }
}

impl Module {
    fn take(&mut self, item: &Item) {
        if let Some(name) = names::defined(item) {
            self.items.insert(name);
        }
        let names::Named { paths, imports } = names::named(item);
        self.named.extend(paths);
        for (import, passed_on) in imports {
            self.import(Segments::new(), import, passed_on);
        }
    }

    fn import(&mut self, mut path: Segments, tree: &UseTree, passed_on: bool) {
        let name = match tree {
            UseTree::Path(tree) => {
                path.push(names::plain(&tree.ident));
                return self.import(path, &tree.tree, passed_on);
            }
            UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.import(path.clone(), tree, passed_on));
            }
            UseTree::Glob(_) => return self.globs.push(path),
            UseTree::Name(tree) if tree.ident == "self" => path.last().cloned().unwrap_or_default(),
            UseTree::Name(tree) => {
                path.push(names::plain(&tree.ident));
                names::plain(&tree.ident)
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    path.push(names::plain(&tree.ident));
                }
                names::plain(&tree.rename)
            }
        };
        if !passed_on {
            self.named.insert(path.clone());
        }
        self.imports.insert(name, path);
    }
}

/// Where the text of a crate's files comes from.
struct Reader<'a> {
    root: PathBuf,
    read: &'a dyn Fn(&Path) -> Option<String>,
}

impl Reader<'_> {
    fn first<'a>(&self, files: &'a [PathBuf]) -> (&'a Path, String) {
        let found = files
            .iter()
            .find_map(|file| Some((file.as_path(), (self.read)(file)?)));
        found.unwrap_or_else(|| panic!("no file of {files:?} can be read"))
    }
}

/// Is this there for tests only? `cfg(any(test, feature = "fuzzing"))` counts as well.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && names::paths(list.tokens.clone(), 1).contains(&vec!["test".to_owned()])
    })
}
