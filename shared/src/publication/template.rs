//! A text whose only blank is the version's name: decided before the number is known, filled in by whoever publishes,
//! always to the same bytes.

use super::target::VERSION;

/// Makes a template of JSON text in which `mark` stands where the version's name belongs.
///
/// A `{version}` that a person wrote somewhere (a sample document, say) is no blank: it becomes the equal JSON text
/// `\u007bversion}`.
pub(super) fn template(json: &str, mark: &str) -> String {
    json.replace(VERSION, r"\u007bversion}").replace(mark, VERSION)
}

/// A mark that does not occur in `text`.
pub(super) fn mark(text: &str) -> String {
    let mut mark = String::from("%version%");
    while text.contains(&mark) {
        mark.push('%');
    }
    mark
}

/// Fills in the version's name. The name is a registry name: nothing in it needs escaping in JSON.
pub(super) fn render(template: &str, version: &str) -> String {
    template.replace(VERSION, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_blanks_are_filled_in() {
        let json = serde_json::json!({"version": "%version%", "text": "a \\{version} of %versions"}).to_string();
        let rendered = render(&template(&json, "%version%"), "SEN-TRAINED-7");
        let read: serde_json::Value = serde_json::from_str(&rendered).expect("still JSON");
        assert_eq!(read["version"], "SEN-TRAINED-7");
        assert_eq!(read["text"], "a \\{version} of %versions");
    }

    #[test]
    fn a_mark_is_not_in_the_text() {
        let text = "a %version% and a %version%% too";
        assert!(!text.contains(&mark(text)));
    }
}
