//! When two error messages tell of the same error.

/// Characters of a message that are compared.
const LENGTH: usize = 200;

/// The message without what differs from host to host and run to run: digits and paths.
#[must_use]
pub fn fingerprint(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        if word.contains('/') {
            "<path>".to_owned()
        } else {
            word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
        }
    });
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&collapse_digits(&word));
    }
    text.chars().take(LENGTH).collect()
}

fn collapse_digits(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if !(c == '0' && out.ends_with('0')) {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn numbers_and_paths_do_not_tell_errors_apart() {
        let one = fingerprint("failed to read /tmp/a/7/x.json at line 12: index 1024 out of range");
        let other = fingerprint("failed to read /home/b/x.json at line 7: index 9 out of range");
        assert_eq!(one, other);
        assert_ne!(
            one,
            fingerprint("failed to write /tmp/a at line 1: index 1 out of range")
        );
    }
}
