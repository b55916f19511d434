//! Dotenv files mean what they meant to the component.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use proptest::prelude::*;
use shared::settings::{SettingsError, parse_dotenv};
use std::collections::BTreeMap;
use std::path::Path;

fn parse(text: &str) -> Vec<(String, String, usize)> {
    let environment = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
    let assignments = parse_dotenv(text, Path::new("dev.env"), &environment).unwrap();
    assignments.into_iter().map(|a| (a.name, a.value, a.line)).collect()
}

fn value(text: &str) -> String {
    let mut all = parse(&format!("A={text}"));
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).1
}

#[test]
fn values_without_quotes_keep_every_character_up_to_a_comment() {
    assert_eq!(value("[1, 1]"), "[1, 1]");
    assert_eq!(value(r#"["a b", "it's #1"] # two"#), r#"["a b", "it's"#);
    assert_eq!(value(r#"["a b", "c"]  # two"#), r#"["a b", "c"]"#);
    assert_eq!(value("a#b"), "a#b");
    assert_eq!(value("  padded \t"), "padded");
    assert_eq!(value(r"C:\new"), r"C:\new");
    assert_eq!(value("a=b"), "a=b");
    assert_eq!(value(""), "");
    assert_eq!(value("# nothing"), "");
}

#[test]
fn quoted_values_may_hold_escapes_hashes_and_lines() {
    assert_eq!(value(r#""a\n\"b\" # c" # comment"#), "a\n\"b\" # c");
    assert_eq!(value(r"'a\n it\'s'"), r"a\n it's");
    assert_eq!(value("\"one\ntwo\""), "one\ntwo");
    assert_eq!(value(r#""back\\slash""#), r"back\slash");
    assert_eq!(value(r#""unknown \q""#), r"unknown \q");
}

#[test]
fn lines_are_counted_through_comments_crlf_and_values_of_several_lines() {
    let text = "\u{feff}# head\r\n\r\nexport A=1\r\n  B = \"x\r\ny\"\r\nC='z'\r\nexported=2";
    let expected = [("A", "1", 3), ("B", "x\r\ny", 4), ("C", "z", 6), ("exported", "2", 7)];
    let expected: Vec<_> = expected.map(|(n, v, l)| (n.to_owned(), v.to_owned(), l)).into();
    assert_eq!(parse(text), expected);
}

#[test]
fn references_mean_earlier_assignments_then_the_environment() {
    assert_eq!(
        parse("A=x\nB=${A}/${HOME}/${NOWHERE}/${NOWHERE:-y}").pop().unwrap().1,
        "x//root//y"
    );
    assert_eq!(parse("A=x\nB='${A}'").pop().unwrap().1, "${A}");
    assert_eq!(value("$A ${not closed ${}"), "$A ${not closed ${}");
}

#[test]
fn a_line_that_is_no_assignment_is_named_but_not_shown() {
    for (text, line) in [
        ("A=1\nmarked value", 2),
        ("A=1\n\n=marked", 3),
        ("A=\"marked\nB=2\n", 1),
        ("A='x' marked", 1),
        ("1A=marked", 1),
    ] {
        let error = parse_dotenv(text, Path::new("config/x/dev.env"), &BTreeMap::new()).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(
            matches!(error, SettingsError::Syntax { line: found, .. } if found == line),
            "{text:?}: {said}"
        );
        assert!(said.contains("config/x/dev.env") && !said.contains("marked"), "{said}");
    }
}

proptest! {
    #[test]
    fn any_value_survives_double_quotes(text in any::<String>()) {
        let quoted = text.replace('\\', r"\\").replace('"', "\\\"");
        // References are the one thing that quotes do not protect.
        prop_assume!(!text.contains("${"));
        let all = parse(&format!("A=1\nB=\"{quoted}\"\nC=3"));
        prop_assert_eq!(all.len(), 3);
        prop_assert_eq!(&all[1].1, &text);
        prop_assert_eq!(all[2].2, 3 + text.matches('\n').count());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = parse_dotenv(&text, Path::new("x"), &BTreeMap::new());
    }

    #[test]
    fn no_text_of_special_characters_makes_the_reader_panic(text in "[A=\"'\\\\#$\\{\\} \n\r:-]{0,60}") {
        let _ = parse_dotenv(&text, Path::new("x"), &BTreeMap::new());
    }
}
