//! Matching URIs against RFC 6570 templates, to find the server that serves them.

/// Whether `uri` may have been made from `template`.
///
/// A simple expression (`{id}`) stands for one or more characters without `/`; expressions with an operator
/// (`{+path}`, `{/path*}`, `{?query}`) for any characters, or none. Literals are compared as they are.
pub(super) fn matches(template: &str, uri: &str) -> bool {
    let (mut template, mut uri) = (template, uri);
    while let Some(open) = template.find('{') {
        let Some(rest) = uri.strip_prefix(&template[..open]) else { return false };
        let Some(length) = template[open..].find('}') else { return false };
        let expression = &template[open + 1..open + length];
        template = &template[open + length + 1..];
        let Some(length) = value_length(expression, template, rest) else { return false };
        uri = &rest[length..];
    }
    template == uri
}

/// How much of `rest` the value of `expression` takes, where `after` follows it in the template.
///
/// Only the literal up to the next expression is searched for: each expression is as short as can be, except
/// that the last takes all that is left. That is linear, and exact where such literals do not occur in values.
fn value_length(expression: &str, after: &str, rest: &str) -> Option<usize> {
    let is_simple = !expression.starts_with(['+', '#', '.', '/', ';', '?', '&']);
    let least = usize::from(is_simple);
    let literal = &after[..after.find('{').unwrap_or(after.len())];
    let length = if after.is_empty() {
        rest.len()
    } else if literal.len() == after.len() {
        rest.len().checked_sub(literal.len())?
    } else if literal.is_empty() {
        // Two expressions side by side: the second takes over where an operator's separator stands.
        rest.find(['/', '?', '#', '&', ';']).unwrap_or(rest.len())
    } else {
        rest.get(least..)?.find(literal)? + least
    };
    let value = rest.get(..length)?;
    (value.len() >= least && !(is_simple && value.contains('/'))).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_that_servers_use() {
        for (template, uri, expected) in [
            ("demo://text/{id}", "demo://text/7", true),
            ("demo://text/{id}", "demo://text/", false),
            ("demo://text/{id}", "demo://text/7/8", false),
            ("demo://text/{id}", "demo://blob/7", false),
            ("test://template/{id}/data", "test://template/a-b/data", true),
            ("test://template/{id}/data", "test://template/a-b/date", false),
            ("file:///{+path}", "file:///a/b/c.txt", true),
            ("file://{/path*}", "file:///a/b", true),
            ("q://search{?q,limit}", "q://search?q=a&limit=2", true),
            ("q://search{?q}", "q://search", true),
            ("a://{x}-{y}", "a://1-2", true),
            ("a://{x}-{y}", "a://12", false),
            ("a://b", "a://b", true),
            ("a://{", "a://{", false),
        ] {
            assert_eq!(matches(template, uri), expected, "{template} {uri}");
        }
    }

    #[test]
    fn a_hostile_template_costs_little() {
        let template = format!("a://{}", "{+x}a".repeat(2_000));
        let started = std::time::Instant::now();
        assert!(!matches(&template, &format!("a://{}b", "a".repeat(20_000))));
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
