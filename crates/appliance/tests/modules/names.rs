//! The names in an item: what it defines, and which paths are in it.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemUse, Macro, Path, UseTree, Visibility,
    visit::{self, Visit},
};

use super::tree::Segments;

/// What an item names.
#[derive(Default)]
pub(crate) struct Named<'a> {
    pub(crate) paths: Vec<Segments>,
    /// Its imports, those inside functions too. `true`: only passed on (`pub use`).
    pub(crate) imports: Vec<(&'a UseTree, bool)>,
}

/// A name without the `r#` of one that is a keyword.
pub(crate) fn plain(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// The name that an item gives to something.
pub(crate) fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(plain(name))
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn named(item: &Item) -> Named<'_> {
    let mut named = Named::default();
    named.visit_item(item);
    named
}

impl<'a> Visit<'a> for Named<'a> {
    fn visit_path(&mut self, path: &'a Path) {
        // A single name is of this module, or was imported, which is seen there.
        if path.segments.len() > 1 {
            let segments = path.segments.iter().map(|segment| plain(&segment.ident));
            self.paths.push(segments.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let passed_on = !matches!(item.vis, Visibility::Inherited);
        self.imports.push((&item.tree, passed_on));
    }

    fn visit_macro(&mut self, item: &'a Macro) {
        self.paths.extend(paths(item.tokens.clone(), 2));
        visit::visit_macro(self, item);
    }
}

/// Paths of at least `least` segments among the tokens of a macro.
pub(crate) fn paths(tokens: TokenStream, least: usize) -> Vec<Segments> {
    let mut paths = vec![Segments::new()];
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(name) => {
                if colons != 2 {
                    paths.push(Segments::new());
                }
                paths
                    .last_mut()
                    .into_iter()
                    .for_each(|path| path.push(plain(&name)));
                colons = 0;
            }
            other => {
                paths.push(Segments::new());
                colons = 0;
                if let TokenTree::Group(group) = other {
                    paths.extend(self::paths(group.stream(), least));
                    paths.push(Segments::new());
                }
            }
        }
    }
    paths.retain(|path| path.len() >= least);
    paths
}
