//! Names of tensors: those that older programs gave, and how messages show any.

use std::collections::BTreeMap;

/// Before 2019 LayerNorm's parameters were called as in TensorFlow.
const LAYER_NORM: [(&str, &str); 2] = [
    ("LayerNorm.gamma", "LayerNorm.weight"),
    ("LayerNorm.beta", "LayerNorm.bias"),
];

/// What `torch.nn.DataParallel` puts before every name.
const DATA_PARALLEL: &str = "module.";

/// The tensors under the names that they have today. A tensor whose new name is taken keeps its old one.
pub(super) fn today<T>(tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    let parallel = tensors.keys().all(|name| name.starts_with(DATA_PARALLEL));
    let prefix = if parallel { DATA_PARALLEL } else { "" };
    let (mut named, mut old) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in tensors {
        let name = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
        match renamed(&name) {
            Some(new) => old.push((name, new, tensor)),
            None => {
                named.insert(name, tensor);
            }
        }
    }
    for (name, new, tensor) in old {
        let name = if named.contains_key(&new) { name } else { new };
        named.insert(name, tensor);
    }
    named
}

fn renamed(name: &str) -> Option<String> {
    LAYER_NORM
        .iter()
        .find_map(|(old, new)| name.strip_suffix(old).map(|stem| format!("{stem}{new}")))
}

/// A text from a file, fit to be read by people: not too long, and nothing that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(old: &[&str]) -> Vec<String> {
        let numbered = old.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at));
        today(numbered.collect()).into_keys().collect()
    }

    #[test]
    fn messages_stay_short_and_plain() {
        assert_eq!(shown("a\u{1b}[1m\n"), r"`a\u{1b}[1m\n`");
        assert_eq!(shown(&"ä".repeat(200)), format!("`{}…`", "ä".repeat(100)));
    }

    #[test]
    fn only_the_names_of_layer_norm_change() {
        let old = ["a.LayerNorm.beta", "a.LayerNorm.gamma", "a.gamma", "beta"];
        assert_eq!(
            names(&old),
            ["a.LayerNorm.bias", "a.LayerNorm.weight", "a.gamma", "beta"]
        );
    }

    #[test]
    fn no_tensor_is_lost_where_both_names_occur() {
        let both = ["LayerNorm.gamma", "LayerNorm.weight"];
        assert_eq!(names(&both), both);
    }

    #[test]
    fn the_prefix_of_data_parallel_goes_where_all_have_it() {
        assert_eq!(names(&["module.a", "module.b"]), ["a", "b"]);
        assert_eq!(names(&["a", "module.b"]), ["a", "module.b"]);
    }
}
